//! Log lines that operators search for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod fixture;

use fixture::capture_log;
use kata_types::annotations::{Annotation, cri_containerd};
use kata_types::gpt_disk::{ErofsLayer, generate_gpt_metadata, generate_padding_file};
use kata_types::initdata::add_hypervisor_initdata_overrides;

#[test]
fn empty_initdata_is_logged() {
    let log = capture_log(|| {
        add_hypervisor_initdata_overrides("").unwrap();
    });
    assert_eq!(log, ["INFO initdata_annotation is empty"]);
}

#[test]
fn generated_files_are_logged() {
    let dir = tempfile::tempdir().unwrap();
    let padding = dir.path().join("pad-1.img");
    let log = capture_log(|| {
        let layer = ErofsLayer {
            path: "/s/1/layer.erofs".to_string(),
            size_sectors: 1,
            snapshot_id: "1".to_string(),
        };
        generate_gpt_metadata("s", "c", vec![layer], dir.path()).unwrap();
        generate_padding_file(&padding, 1).unwrap();
    });
    assert_eq!(
        log,
        [
            format!(
                "INFO Generated GPT head file: {}",
                dir.path().join("gpt_meta_head.img").display()
            ),
            format!("INFO Generated padding file: {}", padding.display()),
        ]
    );
}

#[test]
fn malformed_pod_resources_are_logged() {
    let log = capture_log(|| {
        let annotations = [(
            cri_containerd::SANDBOX_MEM_KEY.to_string(),
            "1Gi".to_string(),
        )];
        assert_eq!(Annotation::new(annotations.into()).get_sandbox_mem(), 0);
    });
    assert_eq!(
        log,
        ["WARN Annotation io.kubernetes.cri.sandbox-memory is malformed and counts as 0"]
    );
}

#[cfg(feature = "safe-path")]
#[test]
fn volume_with_a_malformed_record_is_logged() {
    use kata_types::mount::{
        DirectVolumeMountInfo, add_volume_mount_info_in, is_volume_mounted_in, join_path,
    };

    let dir = tempfile::tempdir().unwrap();
    add_volume_mount_info_in(dir.path(), "/v", &DirectVolumeMountInfo::default()).unwrap();
    assert!(capture_log(|| assert!(is_volume_mounted_in(dir.path(), "/v"))).is_empty());
    let volume = join_path(dir.path().to_str().unwrap(), "/v").unwrap();
    std::fs::write(volume.join("mountInfo.json"), "{").unwrap();
    let log = capture_log(|| assert!(is_volume_mounted_in(dir.path(), "/v")));
    assert_eq!(log, ["ERRO mount record of a direct volume is malformed"]);
}
