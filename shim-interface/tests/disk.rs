//! Sandboxes on a disk that is full, or has become read-only: nothing is written to ask a shim.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::ffi::{CString, c_ulong};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use shim_interface::{Layout, find_sandbox_in, list_sandboxes_in};
use test_utils::isolate;
use test_utils::isolation::Isolation;

mod support;
use support::{AMPLE, Shim, Tree, block_on, blocking_client, client};

/// With a disk in memory for temporary files.
fn own_disk() -> Isolation<'static> {
    let mounts = libc::CLONE_NEWNS;
    Isolation::new()
        .namespaces(mounts)
        .or_namespaces(mounts | libc::CLONE_NEWUSER)
        .tmpfs()
}

/// Changes the mount on the directory for temporary files.
fn remount(flags: c_ulong, data: &str) {
    let directory = CString::new(std::env::temp_dir().as_os_str().as_bytes()).unwrap();
    let data = CString::new(data).unwrap();
    // SAFETY: strings that end in NUL, or null where the kernel allows it.
    let result = unsafe {
        libc::mount(
            ptr::null(),
            directory.as_ptr(),
            ptr::null(),
            libc::MS_REMOUNT | flags,
            data.as_ptr().cast(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Everything that a client does, on sandboxes that were there before.
fn everything_works(tree: &Tree, shim: &Shim) {
    let ids: Vec<_> = list_sandboxes_in(&tree.roots)
        .unwrap()
        .iter()
        .map(|sandbox| sandbox.id().to_owned())
        .collect();
    assert_eq!(ids, ["db-1", "web-1"]);
    let sandbox = find_sandbox_in(&tree.roots, "we").unwrap();
    assert_eq!(sandbox.id(), "web-1");

    let rules = vec![b'x'; 1 << 20];
    let (client, blocking) = (client(&sandbox, AMPLE), blocking_client(&sandbox, AMPLE));
    assert!(block_on(client.metrics()).unwrap().contains("kata_shim"));
    assert!(blocking.metrics().unwrap().contains("kata_shim"));
    block_on(client.put("/iptables", rules.clone())).unwrap();
    assert!(shim.last().body == rules);
    blocking.put("/iptables", rules.clone()).unwrap();
    assert!(shim.last().body == rules);

    let stopped = find_sandbox_in(&tree.roots, "db").unwrap();
    let error = block_on(support::client(&stopped, AMPLE).metrics()).unwrap_err();
    assert!(
        error.to_string().contains("no management socket"),
        "{error}"
    );
}

fn a_tree_with_a_shim() -> (Tree, Shim) {
    let tree = Tree::new();
    let shim = Shim::start(tree.web().socket_path());
    tree.sandbox(Layout::Go, "db-1");
    (tree, shim)
}

/// Writes until there is no room, not even for a name.
fn fill(directory: &Path) {
    remount(0, "size=256k,nr_inodes=100");
    let mut ballast = File::create(directory.join("ballast")).unwrap();
    let error = loop {
        if let Err(error) = ballast.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    let full = (0..200).find_map(|i| File::create(directory.join(i.to_string())).err());
    assert_eq!(full.unwrap().kind(), ErrorKind::StorageFull);
}

#[test]
fn shims_can_be_asked_on_a_full_disk() {
    isolate!(own_disk());
    let (tree, shim) = a_tree_with_a_shim();
    everything_works(&tree, &shim);
    fill(&tree.roots.go);
    // The ballast is no sandbox, and no directory can be made for another.
    fs::create_dir(tree.roots.go.join("new")).unwrap_err();
    everything_works(&tree, &shim);
}

#[test]
fn shims_can_be_asked_after_their_disk_has_become_read_only() {
    isolate!(own_disk());
    let (tree, shim) = a_tree_with_a_shim();
    remount(libc::MS_RDONLY, "");
    let error = File::create(tree.roots.go.join("new")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnlyFilesystem);
    everything_works(&tree, &shim);
}
