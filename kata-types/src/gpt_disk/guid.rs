//! GUIDs that are derived from what they name, so that equal disks have equal tables (D-25).
//!
//! They are UUIDs of version 8 ([RFC 9562], section 5.8), taken from a SHA-256 over the fields.
//!
//! [RFC 9562]: https://www.rfc-editor.org/rfc/rfc9562

use sha2::{Digest, Sha256};

use super::PartitionLayout;

/// A GUID as it lies on disk: the first three fields are little endian.
pub(super) type Guid = [u8; 16];

/// What all GUIDs of a disk come from: its sandbox and its container.
pub(super) struct Seed([u8; 32]);

impl Seed {
    pub(super) fn new(sid: &str, cid: &str) -> Self {
        let mut hash = Sha256::new_with_prefix(b"kata gpt disk");
        for id in [sid, cid] {
            // The length keeps the two apart.
            hash.update((id.len() as u64).to_le_bytes());
            hash.update(id);
        }
        Self(hash.finalize().into())
    }

    pub(super) fn disk(&self) -> Guid {
        guid(&self.0)
    }

    pub(super) fn partition(&self, partition: &PartitionLayout) -> Guid {
        let mut hash = Sha256::new_with_prefix(self.0);
        hash.update(partition.partition_number.to_le_bytes());
        hash.update(partition.layer.size_sectors.to_le_bytes());
        hash.update(partition.start_lba.to_le_bytes());
        hash.update(partition.end_lba.to_le_bytes());
        hash.update(&partition.layer.path);
        guid(&hash.finalize().into())
    }
}

fn guid(digest: &[u8; 32]) -> Guid {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = *digest;
    let version = (g & 0x0f) | 0x80;
    let variant = (i & 0x3f) | 0x80;
    [d, c, b, a, f, e, h, version, variant, j, k, l, m, n, o, p]
}

#[cfg(test)]
mod tests {
    use super::super::ErofsLayer;
    use super::*;

    fn place(number: u32, path: &str, start_lba: u64, size_sectors: u64) -> PartitionLayout {
        PartitionLayout {
            layer: ErofsLayer {
                path: path.to_string(),
                size_sectors,
                snapshot_id: String::new(),
            },
            partition_number: number,
            start_lba,
            end_lba: start_lba + size_sectors - 1,
            name: String::new(),
        }
    }

    #[test]
    fn every_field_makes_a_difference() {
        let guids = [
            Seed::new("a", "b").disk(),
            Seed::new("ab", "").disk(),
            Seed::new("", "ab").disk(),
            Seed::new("b", "a").disk(),
            Seed::new("a", "b").partition(&place(1, "p", 2048, 1)),
            Seed::new("ab", "").partition(&place(1, "p", 2048, 1)),
            Seed::new("a", "b").partition(&place(2, "p", 2048, 1)),
            Seed::new("a", "b").partition(&place(1, "q", 2048, 1)),
            Seed::new("a", "b").partition(&place(1, "p", 4096, 1)),
            Seed::new("a", "b").partition(&place(1, "p", 2048, 2)),
        ];
        for (i, a) in guids.iter().enumerate() {
            for b in &guids[i + 1..] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn layout_is_version_8_of_the_rfc_variant() {
        for n in 0..100 {
            let guid = Seed::new(&n.to_string(), "c").disk();
            assert_eq!(guid[7] >> 4, 8);
            assert_eq!(guid[8] >> 6, 2);
        }
    }

    #[test]
    fn guid_never_changes() {
        // 11D3E1A1-DD01-84AA-9F0F-E09A3A894DFE: disks of running sandboxes and measured launches depend on it.
        assert_eq!(
            Seed::new("sandbox", "container").disk(),
            [
                161, 225, 211, 17, 1, 221, 170, 132, 159, 15, 224, 154, 58, 137, 77, 254
            ]
        );
    }
}
