//! The bytes of the head: protective MBR, header and partition array.

use flate2::Crc;

use super::PartitionLayout;
use super::guid::{Guid, Seed};
use super::layout::{MAX_NAME_UNITS, MAX_PARTITIONS, SECTOR_SIZE};

const SECTOR: usize = SECTOR_SIZE as usize;
const ENTRY_SIZE: usize = 128;
const HEADER_SIZE: usize = 92;
const ENTRIES_OFFSET: usize = 2 * SECTOR;

/// Sectors 0 to 33; the rest of the head is zero.
const HEAD_SIZE: usize = ENTRIES_OFFSET + MAX_PARTITIONS * ENTRY_SIZE;

/// First sector behind the partition array.
const FIRST_USABLE_LBA: u64 = 34;

/// Type of a partition with Linux data: 0FC63DAF-8483-4772-8E79-3D69D8477DE4.
const LINUX_DATA: Guid = [
    0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4,
];

/// The head of a disk whose last sector is `last_lba`.
pub(super) fn compose(
    sid: &str,
    cid: &str,
    partitions: &[PartitionLayout],
    last_lba: u64,
) -> [u8; HEAD_SIZE] {
    let mut head = [0; HEAD_SIZE];
    let seed = Seed::new(sid, cid);
    put_protective_mbr(&mut head, last_lba);
    if let Some(entries) = head.get_mut(ENTRIES_OFFSET..) {
        for (entry, partition) in entries.chunks_exact_mut(ENTRY_SIZE).zip(partitions) {
            put_entry(entry, partition, &seed.partition(partition));
        }
    }
    let entries_crc = crc32(head.get(ENTRIES_OFFSET..).unwrap_or_default());
    if let Some(header) = head.get_mut(SECTOR..SECTOR + HEADER_SIZE) {
        put_header(header, &seed.disk(), last_lba, entries_crc);
    }
    head
}

/// One record of type EE that covers the disk, so that tools without GPT leave it alone.
fn put_protective_mbr(head: &mut [u8], last_lba: u64) {
    let sectors = u32::try_from(last_lba).unwrap_or(u32::MAX);
    put(head, 446, &[0x00, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff]);
    put(head, 454, &1u32.to_le_bytes());
    put(head, 458, &sectors.to_le_bytes());
    put(head, 510, &[0x55, 0xaa]);
}

fn put_header(header: &mut [u8], disk: &Guid, last_lba: u64, entries_crc: u32) {
    put(header, 0, b"EFI PART");
    put(header, 8, &[0x00, 0x00, 0x01, 0x00]); // revision 1.0
    put(header, 12, &(HEADER_SIZE as u32).to_le_bytes());
    put(header, 24, &1u64.to_le_bytes()); // this header
    // One past the disk: there is no backup.
    put(header, 32, &last_lba.saturating_add(1).to_le_bytes());
    put(header, 40, &FIRST_USABLE_LBA.to_le_bytes());
    put(header, 48, &last_lba.to_le_bytes()); // last usable
    put(header, 56, disk);
    put(header, 72, &2u64.to_le_bytes()); // the partition array
    put(header, 80, &(MAX_PARTITIONS as u32).to_le_bytes());
    put(header, 84, &(ENTRY_SIZE as u32).to_le_bytes());
    put(header, 88, &entries_crc.to_le_bytes());
    // Over the header with this field zero.
    let header_crc = crc32(header);
    put(header, 16, &header_crc.to_le_bytes());
}

fn put_entry(entry: &mut [u8], partition: &PartitionLayout, guid: &Guid) {
    put(entry, 0, &LINUX_DATA);
    put(entry, 16, guid);
    put(entry, 32, &partition.start_lba.to_le_bytes());
    put(entry, 40, &partition.end_lba.to_le_bytes());
    // The name has been cut to fit.
    let units = partition.name.encode_utf16().take(MAX_NAME_UNITS);
    for (unit, field) in units.zip(entry.chunks_exact_mut(2).skip(56 / 2)) {
        field.copy_from_slice(&unit.to_le_bytes());
    }
}

/// Writes a field, all of which lies within the buffer.
fn put(buffer: &mut [u8], offset: usize, field: &[u8]) {
    if let Some(target) = buffer.get_mut(offset..offset + field.len()) {
        target.copy_from_slice(field);
    }
}

/// CRC-32/ISO-HDLC, which gzip uses as well.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::ErofsLayer;
    use super::super::layout::lay_out;
    use super::*;

    fn layers(sizes: &[u64], id: &str) -> Vec<ErofsLayer> {
        sizes
            .iter()
            .map(|size_sectors| ErofsLayer {
                path: format!("/snapshots/{id}/layer.erofs"),
                size_sectors: *size_sectors,
                snapshot_id: id.to_string(),
            })
            .collect()
    }

    fn u32_at(bytes: &[u8], offset: usize) -> u32 {
        u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap())
    }

    fn u64_at(bytes: &[u8], offset: usize) -> u64 {
        u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap())
    }

    /// CRC-32 bit by bit, as a second opinion.
    fn plain_crc32(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
            }
        }
        !crc
    }

    /// Reads a head field by field as section 4.4 lays it out, and compares it with the layout.
    fn check(head: &[u8], partitions: &[PartitionLayout]) {
        let last_lba = partitions.last().unwrap().end_lba;
        assert_eq!(head.len(), 34 * 512);

        assert!(head[..446].iter().all(|byte| *byte == 0));
        assert_eq!(
            head[446..458],
            [0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]
        );
        let size = u32::try_from(last_lba).unwrap_or(0xffff_ffff);
        assert_eq!(u32_at(head, 458), size);
        assert!(head[462..510].iter().all(|byte| *byte == 0));
        assert_eq!(head[510..512], [0x55, 0xaa]);

        let header = &head[512..1024];
        assert_eq!(&header[..8], b"EFI PART");
        assert_eq!(header[8..12], [0, 0, 1, 0]);
        assert_eq!(u32_at(header, 12), 92);
        let mut zeroed = header[..92].to_vec();
        zeroed[16..20].fill(0);
        assert_eq!(u32_at(header, 16), plain_crc32(&zeroed));
        assert_eq!(u32_at(header, 20), 0);
        assert_eq!(u64_at(header, 24), 1);
        assert_eq!(u64_at(header, 32), last_lba + 1);
        assert_eq!(u64_at(header, 40), 34);
        assert_eq!(u64_at(header, 48), last_lba);
        assert_eq!(u64_at(header, 72), 2);
        assert_eq!(u32_at(header, 80), 128);
        assert_eq!(u32_at(header, 84), 128);
        assert_eq!(u32_at(header, 88), plain_crc32(&head[1024..]));
        assert!(header[92..].iter().all(|byte| *byte == 0));

        let mut guids = HashSet::from([header[56..72].to_vec()]);
        for (i, entry) in head[1024..].chunks(128).enumerate() {
            let Some(partition) = partitions.get(i) else {
                assert!(entry.iter().all(|byte| *byte == 0));
                continue;
            };
            assert_eq!(entry[..16], LINUX_DATA);
            assert!(guids.insert(entry[16..32].to_vec()), "GUID repeated");
            assert_eq!(u64_at(entry, 32), partition.start_lba);
            assert_eq!(u64_at(entry, 40), partition.end_lba);
            assert_eq!(u64_at(entry, 48), 0);
            let units: Vec<u16> = entry[56..]
                .chunks(2)
                .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                .collect();
            let name = String::from_utf16(&units).unwrap();
            assert_eq!(
                name.trim_end_matches('\0'),
                partition.name.trim_end_matches('\0')
            );
        }
    }

    fn head(sizes: &[u64], id: &str) -> (Vec<u8>, Vec<PartitionLayout>) {
        let partitions = lay_out(layers(sizes, id)).unwrap().partitions;
        let last_lba = partitions.last().unwrap().end_lba;
        (
            compose("sandbox", "container", &partitions, last_lba).to_vec(),
            partitions,
        )
    }

    #[test]
    fn fields_are_those_of_the_specification() {
        let (bytes, partitions) = head(&[100, 3000], "35");
        check(&bytes, &partitions);
        assert_eq!(bytes[1024..1040], LINUX_DATA);
        let name: Vec<u8> = "erofs-0-s35".bytes().flat_map(|byte| [byte, 0]).collect();
        assert_eq!(bytes[1080..1080 + name.len()], name);
    }

    #[test]
    fn table_may_be_full() {
        let (bytes, partitions) = head(&[1; 128], "x");
        check(&bytes, &partitions);
    }

    #[test]
    fn protective_record_saturates_on_large_disks() {
        let (bytes, partitions) = head(&[(1 << 32) - 2048], "x");
        assert_eq!(partitions[0].end_lba, 0xffff_ffff);
        check(&bytes, &partitions);
        let (bytes, partitions) = head(&[1 << 33], "x");
        assert_eq!(u32_at(&bytes, 458), 0xffff_ffff);
        check(&bytes, &partitions);
    }

    #[test]
    fn equal_input_gives_equal_bytes() {
        assert_eq!(head(&[5, 6], "x").0, head(&[5, 6], "x").0);
        assert_ne!(head(&[5, 6], "x").0, head(&[5, 7], "x").0);
    }

    proptest! {
        #[test]
        fn every_head_reads_back(
            sizes in proptest::collection::vec(1u64..1 << 34, 1..=128),
            id in any::<String>(),
        ) {
            let (bytes, partitions) = head(&sizes, &id);
            check(&bytes, &partitions);
        }
    }
}
