//! Slow readers of the kernel's files about memory.

use mem_agent::testing::MemoryStat;

/// A decimal number: digits, with a sign in front of them at most.
pub fn number(word: &[u8]) -> Option<u64> {
    let digits = word.strip_prefix(b"+").unwrap_or(word);
    let mut number = 0_u128;
    for digit in digits {
        if !digit.is_ascii_digit() || number > u128::from(u64::MAX) {
            return None;
        }
        number = number * 10 + u128::from(digit - b'0');
    }
    u64::try_from(number).ok().filter(|_| !digits.is_empty())
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split(|byte| *byte == b'\n').collect()
}

fn words(line: &[u8]) -> Vec<&[u8]> {
    let words = line.split(u8::is_ascii_whitespace);
    words.filter(|word| !word.is_empty()).collect()
}

/// The number behind `key` in the first line that begins with it.
pub fn meminfo(text: &[u8], key: &str) -> Option<u64> {
    let lines = lines(text);
    let line = lines.iter().find(|line| line.starts_with(key.as_bytes()))?;
    number(words(&line[key.len()..]).first()?)
}

/// `total` of the first line, if that is `some`.
pub fn pressure(text: &[u8]) -> Option<u64> {
    let first = *lines(text.trim_ascii_start()).first()?;
    let (kind, fields) = words(first).split_first().map(|(a, b)| (*a, b.to_vec()))?;
    let mut totals = fields
        .iter()
        .filter_map(|word| word.strip_prefix(b"total="));
    number(totals.next()?).filter(|_| kind == b"some")
}

/// What `memory.stat` says: of a key, the last line counts.
pub fn memory_stat(text: &[u8]) -> MemoryStat {
    let lines = lines(text);
    let pairs: Vec<(&str, u64)> = lines
        .iter()
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once(' '))
        .filter_map(|(key, value)| Some((key, number(value.trim().as_bytes())?)))
        .collect();
    let last = |wanted: &str| {
        let mut of_key = pairs.iter().filter(|(key, _)| *key == wanted);
        of_key.next_back().map(|(_, value)| *value)
    };
    let sum = |is_part: &dyn Fn(&str) -> bool| {
        let parts = pairs.iter().filter(|(key, _)| is_part(key));
        let sum = parts.map(|(_, value)| u128::from(*value)).sum::<u128>();
        u64::try_from(sum).unwrap_or(u64::MAX)
    };
    let is_reclaim =
        |key: &str| key.starts_with("pgsteal_") && key != "pgsteal_anon" && key != "pgsteal_file";
    let is_refault = |key: &str| {
        let kind = key.strip_prefix("workingset_refault");
        kind.is_some_and(|kind| ["", "_anon", "_file"].contains(&kind))
    };
    MemoryStat {
        refaulted: sum(&is_refault),
        reclaimed: last("pgsteal").unwrap_or_else(|| sum(&is_reclaim)),
        inactive_file: last("inactive_file").unwrap_or(0),
        inactive_anon: last("inactive_anon").unwrap_or(0),
    }
}

/// Free movable pages in blocks of less than `2^order` pages.
pub fn pagetypeinfo(text: &str, order: u8) -> u64 {
    let title = "Free pages count per migrate type at order";
    let lines: Vec<_> = text.split('\n').collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(title)) else {
        return 0;
    };
    let rows = &lines[at + 1..];
    let is_blank = |line: &&str| line.bytes().all(|byte| byte.is_ascii_whitespace());
    let end = rows.iter().position(is_blank).unwrap_or(rows.len());
    let mut pages = 0_u128;
    for counts in rows[..end].iter().filter_map(|row| movable(row)) {
        for (order, count) in counts.split_whitespace().enumerate().take(order.into()) {
            let count = number(count.strip_prefix('>').unwrap_or(count).as_bytes());
            pages += match count.unwrap_or(0) {
                0 => 0,
                count if order < 64 => u128::from(count) << order,
                _ => u128::from(u64::MAX),
            };
            pages = pages.min(u64::MAX.into());
        }
    }
    u64::try_from(pages).expect("it is at most that")
}

/// The counts of a row `Node N, zone Z, type Movable COUNT…`.
fn movable(row: &str) -> Option<&str> {
    let (node, rest) = row.split_once(',')?;
    let (zone, rest) = rest.split_once(',')?;
    let is_row = node.trim_start().starts_with("Node") && zone.trim_start().starts_with("zone");
    let kind = rest.trim_start().strip_prefix("type")?.trim_start();
    let counts = kind.strip_prefix("Movable")?;
    (is_row && counts.starts_with(char::is_whitespace)).then_some(counts)
}

/// What is read of a file: of a long one, the lines that are whole.
pub fn beginning(file: &[u8]) -> &[u8] {
    const BUFFER: usize = 8192;
    let Some(buffer) = file.get(..BUFFER) else {
        return file;
    };
    let end = buffer.iter().rposition(|byte| *byte == b'\n');
    &buffer[..end.unwrap_or(0)]
}

/// A number that fills a file.
pub fn file_number(file: &[u8]) -> Option<u64> {
    match std::str::from_utf8(beginning(file)).ok()?.trim() {
        "max" => Some(u64::MAX),
        text => number(text.as_bytes()),
    }
}

/// The number of a switch, hexadecimal with `0x`.
pub fn switch(file: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(beginning(file));
    let text = text.trim();
    let Some(digits) = text.strip_prefix("0x") else {
        return u32::try_from(number(text.as_bytes())?).ok();
    };
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let mut number = 0_u64;
    for digit in digits.chars() {
        number = number * 16 + u64::from(digit.to_digit(16)?);
        u32::try_from(number).ok()?;
    }
    u32::try_from(number).ok().filter(|_| !digits.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits_and_fit() {
        for (word, expected) in [
            ("0", Some(0)),
            ("+7", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999999999999999999999999", None),
            ("", None),
            ("+", None),
            ("-1", None),
            ("1x", None),
        ] {
            assert_eq!(number(word.as_bytes()), expected, "{word}");
        }
        for (text, expected) in [
            ("0x0007\n", Some(7)),
            ("10", Some(10)),
            ("0x100000000", None),
            ("0x", None),
        ] {
            assert_eq!(switch(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn free_pages_are_those_of_movable_rows() {
        let text = "Free pages count per migrate type at order 0 1\n\
            Node 0, zone A, type Movable >5 1 9\nNode 0, zone A, type Other 1\n\n\
            Node 0, zone A, type Movable 1\n";
        assert_eq!(pagetypeinfo(text, 2), 7);
        assert_eq!(pagetypeinfo(text, 0), 0);
    }
}
