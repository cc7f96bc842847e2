//! What is mounted at a path and at the volumes of a container, on a node with few and with 10 000
//! mounts, and a read-only bind mount.
//!
//! Floors: one `statx(2)` (`/proc/sys/fs/mount-max` and all mounts aside, a path lookup), and the
//! system calls of a bind mount alone. Baseline: a search of the whole mount table.
//!
//! Runs in user and mount namespaces of its own; without them there is nothing to measure.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark"
)]

use std::ffi::CString;
use std::fs;
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion};
use kata_sys_util::k8s::update_ephemeral_storage_type;
use kata_sys_util::mount::{
    bind_mount_unchecked, get_linux_mount_info, is_mount_point, mount_point_magic, umount_timeout,
};
use nix::mount::MsFlags;
use oci_spec::runtime::{MountBuilder, Spec};

const MANY: usize = 10_000;

fn main() {
    let Some(root) = private_mounts() else {
        println!("INFO: skipping the mount benchmarks which need user and mount namespaces");
        return;
    };
    let mut criterion = Criterion::default().configure_from_args();
    bind(&mut criterion, &root);
    queries(&mut criterion, &root, count());
    for i in count()..MANY {
        let place = root.join(format!("many/{i}"));
        fs::create_dir_all(&place).unwrap();
        mount(Some(&root.join("empty")), &place, None, libc::MS_BIND);
    }
    queries(&mut criterion, &root, count());
    criterion.final_summary();
}

fn queries(criterion: &mut Criterion, root: &Path, mounts: usize) {
    let (yes, no) = (root.join("tmpfs"), root.join("empty"));
    let (yes, no) = (yes.to_str().unwrap(), no.to_str().unwrap());
    assert!(get_linux_mount_info(yes).is_ok() && get_linux_mount_info(no).is_err());
    assert!(table_search(yes) && !table_search(no));

    let mut group = criterion.benchmark_group(format!("{mounts} mounts"));
    for (answer, path) in [("yes", yes), ("no", no)] {
        group.bench_function(format!("floor statx ({answer})"), |b| {
            b.iter(|| statx(path))
        });
        group.bench_function(format!("is_mount_point ({answer})"), |b| {
            b.iter(|| is_mount_point(black_box(path)));
        });
        group.bench_function(format!("mount_point_magic ({answer})"), |b| {
            b.iter(|| mount_point_magic(black_box(path)));
        });
        group.bench_function(format!("get_linux_mount_info ({answer})"), |b| {
            b.iter(|| get_linux_mount_info(black_box(path)));
        });
        group.sample_size(20);
        group.bench_function(format!("baseline table search ({answer})"), |b| {
            b.iter(|| table_search(black_box(path)));
        });
    }
    group.finish();
    empty_dirs(criterion, root, mounts);
}

/// 100 `emptyDir` volumes of a container, five of them in memory.
fn volumes(root: &Path) -> Vec<PathBuf> {
    let volumes = root.join("kubernetes.io~empty-dir");
    (0..100).map(|i| volumes.join(i.to_string())).collect()
}

fn empty_dirs(criterion: &mut Criterion, root: &Path, mounts: usize) {
    let sources = volumes(root);
    let text: Vec<_> = sources.iter().filter_map(|path| path.to_str()).collect();
    let mut spec = Spec::default();
    spec.set_mounts(Some(
        sources
            .iter()
            .map(|source| {
                let mount = MountBuilder::default().destination("/data").typ("bind");
                mount.source(source).build().unwrap()
            })
            .collect(),
    ));
    let mut group = criterion.benchmark_group(format!("100 emptyDir volumes, {mounts} mounts"));
    group.bench_function("floor statx", |b| {
        b.iter(|| text.iter().for_each(|path| statx(path)));
    });
    group.bench_function("update_ephemeral_storage_type", |b| {
        b.iter_batched_ref(
            || spec.clone(),
            |spec| update_ephemeral_storage_type(spec, false, "shared-fs"),
            BatchSize::SmallInput,
        );
    });
    group.sample_size(10);
    group.bench_function("baseline one table search for each", |b| {
        b.iter(|| text.iter().filter(|path| table_search(path)).count());
    });
    group.finish();
}

fn bind(criterion: &mut Criterion, root: &Path) {
    let (src, dst) = (root.join("tmpfs"), root.join("target"));
    fs::create_dir(&dst).unwrap();
    let mut group = criterion.benchmark_group("read-only bind and unmount");
    group.bench_function("floor mount(2) three times, umount2(2)", |b| {
        b.iter(|| {
            bind_read_only(&src, &dst);
            umount(&dst);
        });
    });
    group.bench_function("baseline with std and mount(2), umount2(2)", |b| {
        b.iter(|| {
            let src = src.canonicalize().unwrap();
            fs::create_dir_all(dst.parent().unwrap()).unwrap();
            assert!(src.is_dir());
            fs::create_dir_all(&dst).unwrap();
            bind_read_only(&src, &dst);
            umount(&dst);
        });
    });
    group.bench_function("bind_mount_unchecked, umount2(2)", |b| {
        b.iter(|| {
            bind_mount_unchecked(&src, &dst, true, MsFlags::MS_SLAVE).unwrap();
            umount(&dst);
        });
    });
    group.bench_function("bind_mount_unchecked, umount_timeout", |b| {
        b.iter(|| {
            bind_mount_unchecked(&src, &dst, true, MsFlags::MS_SLAVE).unwrap();
            umount_timeout(&dst, 0).unwrap();
        });
    });
    group.finish();
}

/// The three calls that it takes.
fn bind_read_only(src: &Path, dst: &Path) {
    mount(Some(src), dst, None, libc::MS_BIND);
    mount(None, dst, None, libc::MS_SLAVE);
    let read_only = libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
    mount(None, dst, None, read_only);
}

/// How it is done without asking the kernel about the path: read the table, compare all lines.
fn table_search(path: &str) -> bool {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    table.lines().any(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        fields.get(1) == Some(&path)
    })
}

fn count() -> usize {
    fs::read_to_string("/proc/self/mounts")
        .unwrap()
        .lines()
        .count()
}

fn statx(path: &str) {
    let path = CString::new(path).unwrap();
    let mut buffer = [0_u64; 32];
    // SAFETY: the path ends in NUL, and the buffer has the 256 bytes of a `struct statx`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_statx,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW,
            libc::STATX_TYPE,
            buffer.as_mut_ptr(),
        )
    };
    assert_eq!(result, 0);
    black_box(buffer);
}

/// A directory on a tmpfs in namespaces of this process's own.
fn private_mounts() -> Option<PathBuf> {
    // SAFETY: geteuid takes no argument and cannot fail.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: getegid takes no argument and cannot fail.
    let gid = unsafe { libc::getegid() };
    // SAFETY: unshare takes a number.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } != 0 {
        return None;
    }
    fs::write("/proc/self/setgroups", "deny").ok()?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).ok()?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).ok()?;
    let root = std::env::temp_dir();
    mount(None, Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE);
    mount(Some(Path::new("tmpfs")), &root, Some("tmpfs"), 0);
    fs::create_dir(root.join("empty")).ok()?;
    let tmpfs = |path: &Path| mount(Some(Path::new("tmpfs")), path, Some("tmpfs"), 0);
    fs::create_dir(root.join("tmpfs")).ok()?;
    tmpfs(&root.join("tmpfs"));
    for (i, volume) in volumes(&root).iter().enumerate() {
        fs::create_dir_all(volume).ok()?;
        if i % 20 == 0 {
            tmpfs(volume);
        }
    }
    Some(root)
}

fn mount(source: Option<&Path>, target: &Path, fs_type: Option<&str>, flags: libc::c_ulong) {
    let text = |bytes: &[u8]| CString::new(bytes).unwrap();
    let source = text(source.map_or(b"", |s| s.as_os_str().as_bytes()));
    let target = text(target.as_os_str().as_bytes());
    let fs_type = text(fs_type.unwrap_or_default().as_bytes());
    // SAFETY: the strings end in NUL and outlive the call; null data is allowed.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            fs_type.as_ptr(),
            flags,
            std::ptr::null(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

fn umount(target: &Path) {
    let target = CString::new(target.as_os_str().as_bytes()).unwrap();
    // SAFETY: a string that ends in NUL and outlives the call.
    let result = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    assert_eq!(result, 0);
}
