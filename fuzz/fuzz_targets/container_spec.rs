//! What a specification says about a container and its pod, beside a tree of files: sections
//! `=== annotations` (`KEY=VALUE`), `=== hooks` (arguments of a hook on a line), `=== mounts`
//! (`TYPE SOURCE`) and `=== json` behind the lines of the tree.
//!
//! * `config.json` of a bundle is read as it was written, and as `serde_json` reads it.
//! * Role and sandbox of a container are those of the first annotation that there is.
//! * The network namespace of Docker is a file of the tree that a hook names.
//! * Mounts of `emptyDir` volumes get the type that their place in the mount table says; others keep
//!   theirs.
#![no_main]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use kata_libs_fuzz::{Scratch, Tree, lines, sections_of_bytes, titled, unescape};
use kata_sys_util::SysRoot;
use kata_sys_util::k8s::{
    is_ephemeral_volume_in, is_host_empty_dir_in, is_hugepage_empty_dir_in,
    is_non_tmpfs_empty_dir_in, update_ephemeral_storage_type_in,
};
use kata_sys_util::mount::{Error, get_linux_mount_info_in};
use kata_sys_util::oci_docker::{docker_netns_path_in, is_docker_container};
use kata_sys_util::spec::{ShimIdInfo, get_container_type, load_oci_spec_in, shim_id_info_of};
use kata_types::annotations::Annotation;
use kata_types::container::ContainerType;
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::{HookBuilder, HooksBuilder, Mount, MountBuilder, Spec};

/// Annotations with the role of a container, and with the id of its sandbox; the first counts.
const KEYS: [(&str, &str); 3] = [
    (
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri.sandbox-id",
    ),
    (
        "io.kubernetes.cri-o.ContainerType",
        "io.kubernetes.cri-o.SandboxID",
    ),
    ("io.kubernetes.docker.type", "io.kubernetes.sandbox.id"),
];

fn check_pod(spec: &Spec) {
    let none = HashMap::new();
    let annotations = spec.annotations().as_ref().unwrap_or(&none);
    let role = KEYS.iter().find_map(|(key, _)| annotations.get(*key));
    let sandbox = KEYS.iter().find_map(|(_, key)| annotations.get(*key));
    let is_container = match role.map(String::as_str) {
        None | Some("sandbox" | "podsandbox") => Some(false),
        Some("container") => Some(true),
        Some(_) => None,
    };
    let found = get_container_type(spec).ok();
    let found = found.map(|role| role == ContainerType::PodContainer);
    assert_eq!(found, is_container);
    match (shim_id_info_of(spec), is_container) {
        (Ok(ShimIdInfo::Sandbox), Some(false)) => {}
        (Ok(ShimIdInfo::Container(id)), Some(true)) => assert_eq!(Some(&id), sandbox),
        (Err(_), role) => assert!(role.is_none() || (role == Some(true) && sandbox.is_none())),
        other => panic!("{other:?}"),
    }
}

/// The arguments of the hooks that may be Docker's.
fn arguments(spec: &Spec) -> Vec<&Vec<String>> {
    let hooks = spec.hooks().iter();
    let lists = hooks.flat_map(|hooks| [hooks.prestart(), hooks.create_runtime()]);
    let hooks = lists.flatten().flatten();
    hooks.filter_map(|hook| hook.args().as_ref()).collect()
}

/// The first file of the tree that hooks name.
fn netns(spec: &Spec, directories: &[&Path]) -> Option<PathBuf> {
    for arguments in arguments(spec) {
        for (at, argument) in arguments.iter().enumerate() {
            let mut rest = arguments[at + 1..].iter().filter(|a| !a.starts_with('-'));
            let Some(id) = rest.next().filter(|_| argument == "libnetwork-setkey") else {
                continue;
            };
            let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            if id.len() != 64 || !id.chars().all(is_digit) {
                continue;
            }
            for directory in directories {
                let path = directory.join(id);
                if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                    return Some(path);
                }
            }
        }
    }
    None
}

fn check_docker(spec: &Spec, root: &Path) {
    let directories = [root.join("a"), root.join("b")];
    let directories = directories.each_ref().map(PathBuf::as_path);
    let found = docker_netns_path_in(spec, &directories);
    assert_eq!(found.map(PathBuf::from), netns(spec, &directories));
    let arguments = arguments(spec);
    let mut all = arguments.iter().copied().flatten();
    let has_hook = all.any(|argument| argument.starts_with("libnetwork"));
    assert_eq!(is_docker_container(spec), has_hook);
}

/// The file system of an `emptyDir` volume: `None` if it is none, or nobody knows.
fn volume(root: &SysRoot, source: Option<&Path>) -> Option<String> {
    let source = source?;
    let parent = source.parent().and_then(Path::file_name);
    if parent != Some("kubernetes.io~empty-dir".as_ref()) {
        return None;
    }
    let path: PathBuf = source.components().collect();
    match get_linux_mount_info_in(root, path.to_str().expect("UTF-8")) {
        Ok(info) => Some(info.fs_type),
        Err(Error::NoMountEntry(_)) => Some(String::new()),
        Err(_) => None,
    }
}

fn check_volumes(spec: &Spec, root: &SysRoot) {
    let mounts = |spec: &Spec| spec.mounts().clone().unwrap_or_default();
    let kinds = mounts(spec)
        .iter()
        .map(|mount| volume(root, mount.source().as_deref()))
        .collect::<Vec<_>>();
    for (mount, kind) in mounts(spec).iter().zip(&kinds) {
        let kind = kind.as_deref();
        let is_bind = mount.typ().as_deref() == Some("bind");
        assert_eq!(
            is_ephemeral_volume_in(root, mount),
            is_bind && kind == Some("tmpfs")
        );
        let source = mount
            .source()
            .as_deref()
            .and_then(Path::to_str)
            .unwrap_or_default();
        let is_disk = kind.is_some_and(|kind| !["tmpfs", "hugetlbfs"].contains(&kind));
        assert_eq!(is_host_empty_dir_in(root, source), is_disk);
        assert_eq!(
            is_hugepage_empty_dir_in(root, source),
            kind == Some("hugetlbfs")
        );
        let is_other = kind.is_some_and(|kind| kind != "tmpfs");
        assert_eq!(is_non_tmpfs_empty_dir_in(root, source), is_other);
    }
    for (is_disabled, mode) in [
        (false, "shared-fs"),
        (true, "shared-fs"),
        (false, "block-encrypted"),
    ] {
        let mut changed = spec.clone();
        update_ephemeral_storage_type_in(root, &mut changed, is_disabled, mode);
        let mut expected = spec.clone();
        for (mount, kind) in expected.mounts_mut().iter_mut().flatten().zip(&kinds) {
            if let Some(typ) = storage_type(mount, kind.as_deref(), is_disabled, mode) {
                mount.set_typ(Some(typ.to_owned()));
            }
        }
        assert_eq!(changed, expected);
    }
}

fn storage_type(
    mount: &Mount,
    kind: Option<&str>,
    is_disabled: bool,
    mode: &str,
) -> Option<&'static str> {
    let guest = mount
        .typ()
        .as_deref()
        .and_then(|typ| typ.strip_prefix("kata:guest-mount:"));
    if guest.is_some_and(|rest| !rest.is_empty()) {
        return None;
    }
    let is_bind = mount.typ().as_deref() == Some("bind");
    match kind? {
        "tmpfs" => is_bind.then_some("ephemeral"),
        "hugetlbfs" => None,
        _ if is_disabled || mode == "block-encrypted" => None,
        _ => Some("local"),
    }
}

fn check_files(spec: &Spec, root: &Path, json: &[u8]) {
    let bundle = root.join("bundle");
    fs::create_dir(&bundle).expect("a new directory");
    let file = bundle.join("config.json");
    fs::write(&file, serde_json::to_vec(spec).expect("written")).expect("a new file");
    assert_eq!(&load_oci_spec_in(&bundle).expect("read again"), spec);

    fs::write(&file, json).expect("a file");
    let read = serde_json::from_slice::<Spec>(json);
    assert_eq!(load_oci_spec_in(&bundle).ok(), read.ok());
    let path = file.to_str().expect("UTF-8");
    let read = Annotation::deserialize::<HashMap<String, String>>(path);
    assert_eq!(read.ok(), serde_json::from_slice(json).ok());
}

/// The specification that the lines describe.
fn spec(text: impl Fn(&str) -> String) -> Spec {
    let mut spec = Spec::default();
    let annotations = text("annotations");
    let annotations = annotations.lines().filter_map(|line| line.split_once('='));
    let annotations = annotations.map(|(key, value)| (key.to_owned(), unescape(value)));
    spec.set_annotations(Some(annotations.collect()));

    let hook = |line: &str| {
        let arguments = line.split(' ').map(str::to_owned);
        let builder = HookBuilder::default().path("/hook");
        let hook = builder.args(arguments.collect::<Vec<_>>()).build();
        hook.expect("all that is needed")
    };
    let hooks = text("hooks");
    let mut hooks: Vec<_> = hooks.lines().take(8).map(hook).collect();
    let prestart = hooks.split_off(hooks.len() / 2);
    let hooks = HooksBuilder::default()
        .prestart(prestart)
        .create_runtime(hooks);
    spec.set_hooks(hooks.build().ok());

    let mount = |line: String| {
        let (kind, source) = line.split_once(' ')?;
        let mut mount = MountBuilder::default().destination("/v").build().ok()?;
        mount.set_typ(Some(kind.to_owned()).filter(|kind| kind != "-"));
        mount.set_source(Some(source.into()).filter(|_| source != "-"));
        Some(mount)
    };
    let mounts = lines(&text("mounts"))
        .into_iter()
        .take(16)
        .filter_map(mount);
    spec.set_mounts(Some(mounts.collect()));
    spec
}

fuzz_target!(|data: &[u8]| {
    let sections = sections_of_bytes(data);
    let section = |wanted: &str| titled(&sections, wanted);
    let scratch = Scratch::new();
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).expect("a new directory");
    Tree::parse(sections[0].1).build(&tree);

    let spec = spec(|wanted| String::from_utf8_lossy(section(wanted)).into_owned());
    let json = section("json");
    for spec in [Some(spec), serde_json::from_slice(json).ok()]
        .into_iter()
        .flatten()
    {
        check_pod(&spec);
        check_docker(&spec, &tree);
        check_volumes(&spec, &SysRoot::under(&tree));
        check_files(&spec, scratch.path(), json);
        fs::remove_dir_all(scratch.path().join("bundle")).expect("removed");
    }
});
