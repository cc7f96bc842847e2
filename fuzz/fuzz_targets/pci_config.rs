//! The configuration space of a PCI function.
//!
//! * The lists are those of a slow model.
//! * No capability is there twice, none is in the header or outside of the space, and a list that is
//!   cut off, or leads to nothing, is not complete.
#![no_main]

use kata_sys_util::pcilibs::{PciCapabilities, PciCapability};
use libfuzzer_sys::fuzz_target;

/// Follows a list from `next` on; `read` gives id, version and successor of what is at an offset.
fn follow(
    mut next: usize,
    first: usize,
    read: impl Fn(usize) -> Option<(u16, u8, usize)>,
) -> (Vec<PciCapability>, bool) {
    let mut list: Vec<PciCapability> = Vec::new();
    while next != 0 {
        let is_known = list.iter().any(|known| usize::from(known.offset) == next);
        let Some((id, version, after)) = read(next).filter(|_| next >= first && !is_known) else {
            return (list, false);
        };
        list.push(PciCapability {
            id,
            version,
            offset: next as u16,
        });
        next = after & !3;
    }
    (list, true)
}

fn standard(config: &[u8]) -> (Vec<PciCapability>, bool) {
    let byte = |at: usize| config.get(at).copied();
    let (Some(status), Some(kind)) = (byte(6), byte(14)) else {
        return (Vec::new(), false);
    };
    if status & 0x10 == 0 {
        return (Vec::new(), true);
    }
    match byte(if kind & 0x7f == 2 { 0x14 } else { 0x34 }) {
        Some(pointer) => follow(usize::from(pointer & !3), 0x40, |at| {
            let (id, next) = (byte(at)?, byte(at + 1)?);
            (id != 0xff).then_some((id.into(), 0, next.into()))
        }),
        None => (Vec::new(), false),
    }
}

fn extended(config: &[u8]) -> (Vec<PciCapability>, bool) {
    let word = |at: usize| {
        let bytes = config.get(at..at + 4).filter(|_| at < 4096)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    if config.len() <= 256 || matches!(word(256), Some(0 | u32::MAX)) {
        return (Vec::new(), true);
    }
    follow(256, 256, |at| {
        let header = word(at).filter(|header| !matches!(*header, 0 | u32::MAX))?;
        Some((
            header as u16,
            (header >> 16) as u8 & 0xf,
            (header >> 20) as usize,
        ))
    })
}

fuzz_target!(|config: &[u8]| {
    let found = PciCapabilities::parse(config);
    let (standard, is_whole) = standard(config);
    let (extended, is_whole_too) = extended(config);
    assert_eq!(found.standard, standard);
    assert_eq!(found.extended, extended);
    assert_eq!(found.complete, is_whole && is_whole_too);
    assert!(found.standard.len() <= (256 - 64) / 4 && found.extended.len() <= (4096 - 256) / 4);
});
