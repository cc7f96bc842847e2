//! Mount options, one on each line.
//!
//! * The data are those options that are data alone, in their order; the flags are what the options
//!   set, without what later ones clear.
//! * At most one type of propagation is asked for, and the data fit into a page.
//! * Options as an OCI mount has them give the same.
#![no_main]

use kata_libs_fuzz::lines;
use kata_sys_util::mount::{
    Error, get_mount_options, get_mount_path, get_mount_type, parse_mount_options,
};
use libfuzzer_sys::fuzz_target;
use nix::mount::MsFlags;

const PAGE: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let options = lines(&String::from_utf8_lossy(data));
    let mut mount = oci_spec::runtime::Mount::default();
    mount.set_options(Some(options.clone()));
    let _ = (get_mount_path(&None), get_mount_type(&mount));
    assert_eq!(get_mount_options(mount.options()), options);

    let alone: Vec<_> = options
        .iter()
        .map(|option| parse_mount_options(&[option]))
        .collect();
    let (flags, data) = match parse_mount_options(&options) {
        Ok(parsed) => parsed,
        Err(Error::InvalidMountOption(option)) => return assert_eq!(option, "loop"),
        Err(Error::MountOptionTooBig) => {
            return assert!(options.iter().map(|option| option.len() + 1).sum::<usize>() > PAGE);
        }
        Err(error) => panic!("{error:?}"),
    };
    assert!(data.len() < PAGE);
    let kept: Vec<_> = alone
        .iter()
        .map(|parsed| parsed.as_ref().expect("all together were good"))
        .filter(|(_, data)| !data.is_empty())
        .map(|(_, data)| data.as_str())
        .collect();
    assert_eq!(data, kept.join(","));

    let propagation =
        MsFlags::MS_SHARED | MsFlags::MS_PRIVATE | MsFlags::MS_SLAVE | MsFlags::MS_UNBINDABLE;
    assert!((flags & propagation).bits().count_ones() <= 1);
    // An option after all others has the last word.
    let set_alone = |(flags, _): &(MsFlags, String)| *flags;
    let union = alone
        .iter()
        .flatten()
        .map(set_alone)
        .fold(MsFlags::empty(), |a, b| a | b);
    assert!(union.contains(flags));
    if let Some(Ok((last, _))) = alone.last() {
        assert!(flags.contains(*last));
    }
    for (option, cleared) in [
        ("rw", MsFlags::MS_RDONLY),
        ("suid", MsFlags::MS_NOSUID),
        ("dev", MsFlags::MS_NODEV),
        ("exec", MsFlags::MS_NOEXEC),
    ] {
        let mut more = options.clone();
        more.push(option.to_owned());
        assert_eq!(parse_mount_options(&more).expect("good").0, flags - cleared);
    }
});
