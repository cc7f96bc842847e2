//! `Debug` shows what a value is, but not what may be secret in it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashMap;

use kata_types::annotations::Annotation;
use kata_types::initdata::InitData;
use kata_types::mount::{
    DirectAssignedVolume, DirectVolumeMountInfo, ImagePullVolume, KataVirtualVolume, Mount,
    NydusExtraOptions, NydusImageVolume,
};

const SECRET: &str = "hunter2";

fn secret(name: &str) -> HashMap<String, String> {
    HashMap::from([(name.to_owned(), SECRET.to_owned())])
}

fn options() -> Vec<String> {
    ["ro", &format!("password={SECRET}"), "a=b=hunter2", "="]
        .map(str::to_owned)
        .to_vec()
}

/// Shows no secret, in either form, but all of the others.
fn assert_shows(value: &dyn std::fmt::Debug, visible: &[&str]) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!text.contains(SECRET), "{text}");
        for part in visible {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}

#[test]
fn initdata_is_shown_without_its_files() {
    let mut document = InitData::new("sha384", "0.1.0");
    document.insert_data("aa.toml", SECRET);
    assert_shows(
        &document,
        &["InitData", "sha384", "0.1.0", "aa.toml", "7 bytes"],
    );
    let mut other = document.clone();
    other.insert_data("aa.toml", "another");
    assert_ne!(format!("{document:?}"), format!("{other:?}"));
}

#[test]
fn annotations_are_shown_without_initdata() {
    let annotations = HashMap::from([
        (
            "io.katacontainers.config.hypervisor.cc_init_data".to_owned(),
            SECRET.to_owned(),
        ),
        (
            "io.katacontainers.config.hypervisor.kernel".to_owned(),
            "/vmlinuz".to_owned(),
        ),
    ]);
    assert_shows(
        &Annotation::new(annotations),
        &["cc_init_data", "7 bytes", "/vmlinuz"],
    );
}

#[test]
fn volumes_are_shown_without_the_values_of_options_and_metadata() {
    let mount = Mount {
        source: "//server/share".into(),
        destination: "/data".into(),
        fs_type: "cifs".into(),
        options: options(),
        device_id: Some("dev7".into()),
        host_shared_fs_path: Some("/shared".into()),
        read_only: true,
    };
    let shown = [
        "Mount",
        "server",
        "/data",
        "cifs",
        "\"ro\"",
        "password=***",
        "dev7",
        "/shared",
        "true",
    ];
    assert_shows(&mount, &shown);

    let direct = DirectVolumeMountInfo {
        volume_type: "block".into(),
        device: "/dev/sdb".into(),
        fs_type: "ext4".into(),
        metadata: secret("token"),
        options: options(),
    };
    let shown = [
        "DirectVolumeMountInfo",
        "/dev/sdb",
        "\"ro\"",
        "a=***",
        "token",
    ];
    assert_shows(&direct, &shown);

    let mut volume = KataVirtualVolume::new("image_guest_pull".into());
    volume.source = "docker.io/library/busybox".into();
    volume.options = options();
    volume.direct_volume = Some(DirectAssignedVolume {
        metadata: secret("fsGroup"),
    });
    volume.image_pull = Some(ImagePullVolume {
        metadata: secret("auth"),
    });
    volume.nydus_image = Some(NydusImageVolume {
        config: SECRET.into(),
        snapshot_dir: "/snapshots/1".into(),
    });
    let shown = ["busybox", "fsGroup", "auth", "/snapshots/1", "password=***"];
    assert_shows(&volume, &shown);
}

#[test]
fn nydus_options_are_shown_without_their_configuration() {
    let options = NydusExtraOptions {
        source: "/bootstrap".into(),
        config: SECRET.into(),
        snapshot_dir: "/snapshots/1".into(),
        fs_version: "v6".into(),
    };
    assert_shows(
        &options,
        &["NydusExtraOptions", "/bootstrap", "/snapshots/1", "v6"],
    );
}
