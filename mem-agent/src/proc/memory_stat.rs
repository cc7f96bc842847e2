//! `memory.stat` of cgroup v2
//! ([memory interface files](https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files)).

/// What is of interest here, for a cgroup with its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStat {
    /// Pages that came back soon after they had been reclaimed (`workingset_refault_*`).
    pub refaulted: u64,
    /// Pages that have been reclaimed (`pgsteal`, or the sum of `pgsteal_*` on kernels without it).
    pub reclaimed: u64,
    /// Bytes of file pages on the inactive list.
    pub inactive_file: u64,
    /// Bytes of anonymous pages on the inactive list.
    pub inactive_anon: u64,
}

impl MemoryStat {
    /// Reads the lines that are known, and passes over all others.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let mut stat = Self::default();
        let (mut total, mut parts) = (None, 0_u64);
        for line in text.split(|b| *b == b'\n') {
            let Some((key, value)) = key_and_value(line) else {
                continue;
            };
            match key {
                "inactive_file" => stat.inactive_file = value,
                "inactive_anon" => stat.inactive_anon = value,
                "pgsteal" => total = Some(value),
                // Before 5.9 there was one count for both kinds.
                "workingset_refault" | "workingset_refault_anon" | "workingset_refault_file" => {
                    stat.refaulted = stat.refaulted.saturating_add(value);
                }
                "pgsteal_anon" | "pgsteal_file" => {}
                _ if key.starts_with("pgsteal_") => parts = parts.saturating_add(value),
                _ => {}
            }
        }
        stat.reclaimed = total.unwrap_or(parts);
        stat
    }
}

fn key_and_value(line: &[u8]) -> Option<(&str, u64)> {
    let line = std::str::from_utf8(line).ok()?;
    let (key, value) = line.split_once(' ')?;
    Some((key, value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_are_read_and_others_passed_over() {
        let text = b"anon 4096\ninactive_anon 8192\ninactive_file 12288\nodd line here\nworkingset_refault_anon 3\nworkingset_refault_file 4\npgsteal 50\npgsteal_kswapd 30\npgsteal_direct 20\n\xff 1\n";
        let expected = MemoryStat {
            refaulted: 7,
            reclaimed: 50,
            inactive_file: 12_288,
            inactive_anon: 8_192,
        };
        assert_eq!(MemoryStat::parse(text), expected);
    }

    #[test]
    fn reclaimed_pages_are_added_up_where_the_kernel_has_no_sum() {
        let text = b"pgsteal_kswapd 30\npgsteal_direct 20\npgsteal_proactive 1\npgsteal_file 51\n";
        assert_eq!(MemoryStat::parse(text).reclaimed, 51);
        assert_eq!(MemoryStat::parse(b""), MemoryStat::default());
    }
}
