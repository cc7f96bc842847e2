//! Partition tables of EROFS layers. The first line of an input is `SANDBOX CONTAINER`, the others
//! are `SIZE PATH` of a layer.
//!
//! * Partitions are as large as their layers, aligned, in order, and do not overlap.
//! * A second reader finds in the head what the layout says, with the right check sums; all else is
//!   zero, and GUIDs are unique.
//! * The same arguments give the same bytes.
#![no_main]

use std::collections::HashSet;
use std::fs;

use kata_libs_fuzz::{Scratch, unescape};
use kata_types::gpt_disk::{
    ErofsLayer, GptDiskLayout, calculate_gpt_layout, extract_snapshot_id, generate_gpt_metadata,
    get_erofs_layer_size,
};
use libfuzzer_sys::fuzz_target;

const SECTOR: usize = 512;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), step)
    })
}

fn check_layout(layout: &GptDiskLayout, layers: &[ErofsLayer]) {
    assert_eq!(layout.partitions.len(), layers.len());
    let mut free = 2048;
    for (number, (partition, layer)) in (1..).zip(layout.partitions.iter().zip(layers)) {
        assert_eq!(partition.partition_number, number);
        assert!(partition.start_lba >= free && partition.start_lba % 2048 == 0);
        assert!(partition.start_lba - free < 2048);
        assert_eq!(
            partition.end_lba - partition.start_lba + 1,
            layer.size_sectors
        );
        assert!(partition.name.encode_utf16().count() <= 36);
        free = partition.end_lba + 1;
    }
    assert!(layout.total_sectors >= free);
    assert!(
        layout
            .total_sectors
            .checked_mul(512)
            .is_some_and(|bytes| i64::try_from(bytes).is_ok())
    );
}

fn check_head(head: &[u8], layout: &GptDiskLayout) {
    assert_eq!(head.len(), 1 << 20);
    assert_eq!(head[510..512], [0x55, 0xaa]);
    assert_eq!(head[450], 0xee);
    let header = &head[SECTOR..2 * SECTOR];
    assert_eq!(&header[..8], b"EFI PART");
    let mut zeroed = header[..92].to_vec();
    zeroed[16..20].fill(0);
    assert_eq!(u32_at(header, 16), crc32(&zeroed));
    let array = &head[2 * SECTOR..34 * SECTOR];
    assert_eq!(u32_at(header, 88), crc32(array));
    let last = layout.partitions.last().expect("some").end_lba;
    assert_eq!(layout.total_sectors, last + 1);
    assert_eq!((u64_at(header, 24), u64_at(header, 48)), (1, last));
    let mut guids = HashSet::from([header[56..72].to_vec()]);
    for (index, entry) in array.chunks(128).enumerate() {
        let Some(partition) = layout.partitions.get(index) else {
            assert!(entry.iter().all(|byte| *byte == 0));
            continue;
        };
        assert!(guids.insert(entry[16..32].to_vec()), "a GUID twice");
        assert_eq!(u64_at(entry, 32), partition.start_lba);
        assert_eq!(u64_at(entry, 40), partition.end_lba);
        let units = entry[56..]
            .chunks(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        let name = String::from_utf16(&units.collect::<Vec<_>>()).expect("whole characters");
        assert_eq!(
            name.trim_end_matches('\0'),
            partition.name.trim_end_matches('\0')
        );
    }
    assert!(head[34 * SECTOR..].iter().all(|byte| *byte == 0));
}

fuzz_target!(|data: &[u8]| {
    let input = unescape(&String::from_utf8_lossy(data).replace("\\n", ""));
    let mut lines = input.lines();
    let (sandbox, container) = lines
        .next()
        .and_then(|ids| ids.split_once(' '))
        .unwrap_or_default();
    let layers: Vec<_> = lines
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(size, path)| {
            Some(ErofsLayer {
                path: path.to_owned(),
                size_sectors: size.parse().ok()?,
                snapshot_id: extract_snapshot_id(path),
            })
        })
        .collect();
    let scratch = Scratch::new();
    let generate = || generate_gpt_metadata(sandbox, container, layers.clone(), scratch.path());
    match calculate_gpt_layout(&layers) {
        Ok(layout) => {
            check_layout(&layout, &layers);
            let (layout, files) = generate().expect("the layout is possible");
            check_layout(&layout, &layers);
            let head = fs::read(&files.head_path).expect("it was written");
            check_head(&head, &layout);
            let path = files.head_path.to_str().expect("UTF-8");
            let size = get_erofs_layer_size(path).expect("it is there");
            assert_eq!(size, head.len() as u64);
            let (_, files) = generate().expect("as above");
            assert_eq!(fs::read(&files.head_path).expect("it was written"), head);
        }
        Err(_) => {
            assert!(generate().is_err());
            assert_eq!(
                fs::read_dir(scratch.path()).expect("it is there").count(),
                0
            );
        }
    }
});
