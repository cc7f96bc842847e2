//! `/proc/pagetypeinfo`
//! ([proc(5)](https://man7.org/linux/man-pages/man5/proc_pagetypeinfo.5.html)).

/// Heads the rows that count free blocks. Those of the later table count something else.
const FREE_PAGES: &str = "Free pages count per migrate type at order";

/// Free movable pages in blocks of less than `2^order` pages (C5, D27).
pub(crate) fn free_movable_pages(text: &[u8], order: u8) -> u64 {
    let rows = text
        .split(|b| *b == b'\n')
        .skip_while(|line| !line.starts_with(FREE_PAGES.as_bytes()))
        .skip(1)
        .take_while(|line| !line.trim_ascii().is_empty());
    rows.filter_map(|row| movable_counts(std::str::from_utf8(row).ok()?))
        .flat_map(|counts| pages(counts, order))
        .fold(0, u64::saturating_add)
}

/// What follows `Node n, zone Z, type Movable`.
fn movable_counts(row: &str) -> Option<&str> {
    let mut parts = row.splitn(3, ',');
    let node = parts.next()?.trim_start();
    let zone = parts.next()?.trim_start();
    let kind = parts.next()?.trim_start();
    (node.starts_with("Node") && zone.starts_with("zone")).then_some(())?;
    let kind = kind.strip_prefix("type")?.trim_start();
    let counts = kind.strip_prefix("Movable")?;
    counts.starts_with(char::is_whitespace).then_some(counts)
}

fn pages(counts: &str, order: u8) -> impl Iterator<Item = u64> + '_ {
    let below = counts.split_whitespace().take(usize::from(order));
    below.zip(0_u32..).map(|(count, order)| {
        // The kernel stops counting at 100000 and prints `>100000`.
        let count: u64 = count
            .strip_prefix('>')
            .unwrap_or(count)
            .parse()
            .unwrap_or(0);
        count.saturating_mul(2_u64.saturating_pow(order))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2      3      4      5      6      7      8      9     10 
Node    0, zone    DMA32, type    Unmovable      3      1      0      0      0      0      0      0      0      0      0 
Node    0, zone    DMA32, type      Movable     10     20     30      0      0      0      0      0      0      2    100 
Node    0, zone   Normal, type      Movable >100000    500    250    125      0      0      0      0      1      0     40 
Node    0, zone  Movable, type      Movable      7      0      0      0      0      0      0      0      0      0      5 

Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic      Isolate 
Node 0, zone    DMA32            1           60            0            0            0 
Node 0, zone   Normal           12          400            3            0            0 
Node 0, zone  Movable            0           96            0            0            0 
";

    #[test]
    fn blocks_below_the_order_count_in_pages() {
        let cases = [
            (9, 103_433),
            (0, 0),
            (1, 100_017),
            (10, 104_457),
            (255, 252_937),
        ];
        for (order, pages) in cases {
            assert_eq!(
                free_movable_pages(TEXT.as_bytes(), order),
                pages,
                "order {order}"
            );
        }
    }

    #[test]
    fn other_rows_do_not_count() {
        let of = |text: &str| free_movable_pages(text.as_bytes(), 9);
        let head = "Free pages count per migrate type at order 0 1\n";
        for row in [
            "",
            "Node 0, zone Normal, type Movable",
            "Node 0, zone Normal, type MovableX 5 5",
            "Node 0, zone Movable 5 5 5",
            "Node 0, zone Movable, type Unmovable 5 5",
            "Node 0, zone Normal, type Movable x -1 1.5",
            ", , ",
        ] {
            assert_eq!(of(&format!("{head}{row}\n")), 0, "{row}");
        }
        let row = "Node 0, zone Normal, type Movable 5 5\n";
        assert_eq!(of(row), 0, "without the head");
        assert_eq!(of(&format!("{head}{row}")), 15);
    }

    #[test]
    fn huge_counts_saturate() {
        let text = format!(
            "{FREE_PAGES}\nNode 0, zone N, type Movable {} {}\n",
            u64::MAX,
            u64::MAX
        );
        assert_eq!(free_movable_pages(text.as_bytes(), 200), u64::MAX);
    }
}
