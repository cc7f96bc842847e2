//! Where the layers lie on the disk.

use anyhow::{Context, Result, bail, ensure};

use super::{ErofsLayer, GptDiskLayout, PartitionLayout};

/// Bytes of a sector.
pub(super) const SECTOR_SIZE: u64 = 512;

/// The most entries of the partition array.
pub(super) const MAX_PARTITIONS: usize = 128;

/// UTF-16 code units of a partition name.
pub(super) const MAX_NAME_UNITS: usize = 36;

/// First sector of the first partition, and alignment of all: 1 MiB.
const ALIGNMENT: u64 = 2048;

/// Sectors of a backup table: the partition array and the header.
const BACKUP_SECTORS: u64 = 32 + 1;

/// Lays the layers out in their order, each on a boundary of 1 MiB.
///
/// `total_sectors` has room for a backup table, and `total_sectors` × 512 fits an `i64`.
///
/// # Errors
/// When there are no layers or more than 128, a layer is empty, or the disk would be too large.
///
/// ```
/// use kata_types::gpt_disk::{ErofsLayer, calculate_gpt_layout};
/// let layer = |n: &str| ErofsLayer {
///     path: format!("/snapshots/{n}/layer.erofs"),
///     size_sectors: 3000,
///     snapshot_id: n.to_string(),
/// };
/// let layout = calculate_gpt_layout(&[layer("35"), layer("36")])?;
/// assert_eq!(layout.partitions[0].start_lba, 2048);
/// assert_eq!(layout.partitions[0].end_lba, 2048 + 3000 - 1);
/// assert_eq!(layout.partitions[1].start_lba, 6144);
/// assert_eq!(layout.partitions[1].name, "erofs-1-s36");
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn calculate_gpt_layout(layers: &[ErofsLayer]) -> Result<GptDiskLayout> {
    lay_out(layers.to_vec())
}

/// [`calculate_gpt_layout`] without copying the layers.
pub(super) fn lay_out(layers: Vec<ErofsLayer>) -> Result<GptDiskLayout> {
    ensure!(
        !layers.is_empty(),
        "no EROFS layers provided for GPT layout"
    );
    if layers.len() > MAX_PARTITIONS {
        bail!(
            "The layers for GPT: {} exceeds maximum {MAX_PARTITIONS} partitions",
            layers.len()
        );
    }
    let mut partitions = Vec::with_capacity(layers.len());
    let mut start_lba = ALIGNMENT;
    let mut total_sectors = 0;
    for (number, layer) in (1u32..).zip(layers) {
        let index = number.saturating_sub(1);
        if layer.size_sectors == 0 {
            bail!(
                "EROFS layer {index} ({}) has size_sectors = 0, cannot generate GPT partition",
                layer.path
            );
        }
        let end = Extent::after(start_lba, layer.size_sectors).with_context(|| {
            format!(
                "EROFS layer {index} ({}) of {} sectors exceeds the largest disk",
                layer.path, layer.size_sectors
            )
        })?;
        partitions.push(PartitionLayout {
            partition_number: number,
            start_lba,
            end_lba: end.last_lba,
            name: partition_name(index, &layer.snapshot_id),
            layer,
        });
        start_lba = end.next_start;
        total_sectors = end.disk_sectors;
    }
    Ok(GptDiskLayout {
        partitions,
        total_sectors,
        lb_size: SECTOR_SIZE,
    })
}

/// What follows from the end of a partition.
struct Extent {
    last_lba: u64,
    next_start: u64,
    /// Size of the disk if this is the last partition.
    disk_sectors: u64,
}

impl Extent {
    /// `None` when the disk would not fit (D-28).
    fn after(start: u64, sectors: u64) -> Option<Self> {
        let end = start.checked_add(sectors)?;
        let next_start = end.checked_next_multiple_of(ALIGNMENT)?;
        let disk_sectors = next_start.checked_add(BACKUP_SECTORS)?;
        i64::try_from(disk_sectors.checked_mul(SECTOR_SIZE)?).ok()?;
        Some(Self {
            last_lba: end.checked_sub(1)?,
            next_start,
            disk_sectors,
        })
    }
}

/// `erofs-<index>-s<snapshot id>`, cut between characters to what the table can hold (D-26).
fn partition_name(index: u32, snapshot_id: &str) -> String {
    let mut units = 0usize;
    let mut name = format!("erofs-{index}-s{snapshot_id}");
    let end = name
        .char_indices()
        .find(|(_, character)| {
            units = units.saturating_add(character.len_utf16());
            units > MAX_NAME_UNITS
        })
        .map_or(name.len(), |(position, _)| position);
    name.truncate(end);
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layer(size_sectors: u64) -> ErofsLayer {
        ErofsLayer {
            path: "/s/7/l".to_string(),
            size_sectors,
            snapshot_id: "7".to_string(),
        }
    }

    #[test]
    fn partitions_are_aligned_and_keep_their_order() {
        let layout = calculate_gpt_layout(&[layer(1), layer(2048), layer(2049), layer(5)]).unwrap();
        let places: Vec<_> = layout
            .partitions
            .iter()
            .map(|p| (p.partition_number, p.start_lba, p.end_lba, p.name.as_str()))
            .collect();
        assert_eq!(
            places,
            [
                (1, 2048, 2048, "erofs-0-s7"),
                (2, 4096, 6143, "erofs-1-s7"),
                (3, 6144, 8192, "erofs-2-s7"),
                (4, 10240, 10244, "erofs-3-s7"),
            ]
        );
        assert_eq!(layout.total_sectors, 12288 + 33);
        assert_eq!(layout.lb_size, 512);
    }

    #[test]
    fn unusable_layers_are_named() {
        let text = |layers: &[ErofsLayer]| calculate_gpt_layout(layers).unwrap_err().to_string();
        assert_eq!(text(&[]), "no EROFS layers provided for GPT layout");
        assert_eq!(
            text(&vec![layer(1); 129]),
            "The layers for GPT: 129 exceeds maximum 128 partitions"
        );
        assert_eq!(
            text(&[layer(1), layer(0)]),
            "EROFS layer 1 (/s/7/l) has size_sectors = 0, cannot generate GPT partition"
        );
        assert!(calculate_gpt_layout(&vec![layer(1); 128]).is_ok());
    }

    #[test]
    fn disks_beyond_an_i64_of_bytes_are_refused() {
        let largest = (i64::MAX as u64) / 512 - 33;
        let largest = largest - largest % 2048 - 2048;
        assert!(calculate_gpt_layout(&[layer(largest)]).is_ok());
        for size in [largest + 1, u64::MAX, u64::MAX - 2048, 1 << 55] {
            let error = calculate_gpt_layout(&[layer(1), layer(size)]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("EROFS layer 1 (/s/7/l) of {size} sectors exceeds the largest disk")
            );
        }
    }

    #[test]
    fn names_are_cut_to_whole_characters() {
        for (id, name) in [
            ("", "erofs-3-s"),
            (&"x".repeat(27), &format!("erofs-3-s{}", "x".repeat(27))),
            (&"x".repeat(28), &format!("erofs-3-s{}", "x".repeat(27))),
            (&"é".repeat(40), &format!("erofs-3-s{}", "é".repeat(27))),
            // Two units each: the last one would be cut in half.
            (&"😀".repeat(20), &format!("erofs-3-s{}", "😀".repeat(13))),
        ] {
            assert_eq!(partition_name(3, id), name);
        }
    }

    proptest! {
        #[test]
        fn no_sizes_panic_and_partitions_never_overlap(
            sizes in proptest::collection::vec(prop_oneof![0u64..5000, any::<u64>()], 0..140)
        ) {
            let layers: Vec<_> = sizes.iter().map(|size| layer(*size)).collect();
            if let Ok(layout) = calculate_gpt_layout(&layers) {
                let mut next = 2048;
                for partition in &layout.partitions {
                    prop_assert!(partition.start_lba >= next);
                    prop_assert_eq!(partition.start_lba % 2048, 0);
                    prop_assert_eq!(
                        partition.end_lba - partition.start_lba + 1,
                        partition.layer.size_sectors
                    );
                    next = partition.end_lba + 1;
                }
                prop_assert!(layout.total_sectors >= next + 33);
                prop_assert!(layout.total_sectors <= i64::MAX as u64 / 512);
            }
        }
    }
}
