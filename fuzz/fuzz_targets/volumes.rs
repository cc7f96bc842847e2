//! Volumes that the host describes in JSON. The first byte of an input says what the rest is.
//!
//! * `v`, a virtual volume: what is read is written and read again without a change, as JSON and in
//!   base64; with validation, by every way the same ones are accepted.
//! * `n`, the option of a nydus mount.
//! * `p`, the path of a direct volume on a line, and the content of its file: the record is found
//!   where it was put, below the root, and survives; a damaged one is an error, and not overlooked.
#![no_main]

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kata_libs_fuzz::{Scratch, unescape};
use kata_types::mount::{
    DirectVolumeMountInfo, KATA_MOUNT_INFO_FILE_NAME, KataVirtualVolume, Mount, NydusExtraOptions,
    add_volume_mount_info_in, get_volume_mount_info_in, is_volume_mounted_in, join_path,
    remove_volume_path_in, split_bind_mounts,
};
use libfuzzer_sys::fuzz_target;

fn check_virtual(text: &str) {
    let valid = KataVirtualVolume::from_json(text);
    let encoded = STANDARD.encode(text);
    let checked = KataVirtualVolume::from_base64_and_validate(&encoded);
    assert_eq!(valid.as_ref().ok(), checked.as_ref().ok());
    let _ = KataVirtualVolume::from_base64(text);
    let Ok(volume) = KataVirtualVolume::from_base64(&encoded) else {
        assert!(valid.is_err());
        return;
    };
    assert_eq!(volume.validate().is_ok(), valid.is_ok());
    let base64 = volume.to_base64().expect("always");
    assert_eq!(
        KataVirtualVolume::from_base64(&base64).expect("read again"),
        volume
    );
    let json = volume.to_json().expect("always");
    assert_eq!(KataVirtualVolume::from_json(&json).is_ok(), valid.is_ok());
}

fn check_nydus(text: &str) {
    let options = vec![format!("extraoption={}", STANDARD.encode(text))];
    let read = NydusExtraOptions::new(&Mount {
        options,
        ..Default::default()
    });
    let json = serde_json::from_str::<serde_json::Value>(text);
    assert!(read.is_err() || json.is_ok());
    let options = text.lines().map(str::to_owned).collect();
    let _ = NydusExtraOptions::new(&Mount {
        options,
        ..Default::default()
    });
}

fn check_direct(path: &str, json: &str) {
    let scratch = Scratch::new();
    let root = scratch.path();
    let info = serde_json::from_str::<DirectVolumeMountInfo>(json);
    let Ok(directory) = join_path(root.to_str().expect("UTF-8"), path) else {
        assert!(path.is_empty() || path.len() > 180);
        assert!(!is_volume_mounted_in(root, path));
        assert!(add_volume_mount_info_in(root, path, &DirectVolumeMountInfo::default()).is_err());
        return;
    };
    assert_eq!(directory.parent(), Some(root));
    assert!(!is_volume_mounted_in(root, path));

    fs::create_dir(&directory).expect("a new directory");
    fs::write(directory.join(KATA_MOUNT_INFO_FILE_NAME), json).expect("a new file");
    assert!(is_volume_mounted_in(root, path));
    let read = get_volume_mount_info_in(root, path);
    assert_eq!(read.ok(), info.as_ref().ok().cloned());
    if let Ok(info) = info {
        add_volume_mount_info_in(root, path, &info).expect("recorded");
        assert_eq!(
            get_volume_mount_info_in(root, path).expect("read again"),
            info
        );
    }
    remove_volume_path_in(root, path).expect("removed");
    assert!(!is_volume_mounted_in(root, path));
    assert_eq!(
        fs::read_dir(Path::new(root))
            .expect("the root is there")
            .count(),
        0
    );
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match kind {
        b'v' => check_virtual(&text),
        b'n' => check_nydus(&text),
        b'p' => {
            let (path, json) = text.split_once('\n').unwrap_or((&text, ""));
            let path = unescape(path);
            let (source, mode) = split_bind_mounts(&path);
            assert!(path.starts_with(source) && path.ends_with(mode));
            check_direct(&path, json);
        }
        _ => {}
    }
});
