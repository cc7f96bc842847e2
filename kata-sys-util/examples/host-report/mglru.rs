//! Multi-generational LRU
//! ([kernel documentation](https://docs.kernel.org/admin-guide/mm/multigen_lru.html)).

use serde::Serialize;

use crate::reader::Reader;
use crate::report::{Row, row};

/// The main switch, and clearing of accessed bits in leaf and non-leaf page table entries.
const PARTS: [(u32, &str); 3] = [
    (1 << 0, "main switch"),
    (1 << 1, "leaf entries in batches"),
    (1 << 2, "non-leaf entries"),
];

#[derive(Serialize)]
pub(crate) struct Mglru {
    enabled: bool,
    /// The bits of `enabled`.
    parts: u32,
    /// How long the working set is kept from being evicted, in milliseconds.
    min_ttl_ms: Option<u64>,
}

impl Mglru {
    /// `None` if the kernel has none.
    pub(crate) fn read(reader: &mut Reader) -> Option<Self> {
        let directory = reader.root.sys.join("kernel/mm/lru_gen");
        let path = directory.join("enabled");
        let text = reader.text(&path)?;
        let digits = text.strip_prefix("0x").unwrap_or(&text);
        let Ok(parts) = u32::from_str_radix(digits, 16) else {
            reader.note(&path, format!("not a hexadecimal number: {text:?}"));
            return None;
        };
        let min_ttl_ms = reader.text(&directory.join("min_ttl_ms"));
        Some(Self {
            enabled: parts & 1 != 0,
            parts,
            min_ttl_ms: min_ttl_ms.and_then(|text| text.parse().ok()),
        })
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        let parts = PARTS.iter().filter(|(bit, _)| self.parts & bit != 0);
        let parts: Vec<&str> = parts.map(|(_, name)| *name).collect();
        let mut rows = vec![row("enabled", if self.enabled { "yes" } else { "no" })];
        if !parts.is_empty() {
            rows.push(row("parts", parts.join(", ")));
        }
        if let Some(min_ttl_ms) = self.min_ttl_ms {
            rows.push(row("min_ttl_ms", min_ttl_ms));
        }
        rows
    }
}
