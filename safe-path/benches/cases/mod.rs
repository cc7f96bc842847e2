//! Trees, paths and contenders that the benchmarks share.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};

/// Something that resolves a path below a root; the result is dropped.
pub type Resolve = Box<dyn Fn(&Path, &Path)>;

/// A contender and its name in the report.
pub type Contender = (&'static str, Resolve);

/// A tree and a path in it.
pub struct Case {
    /// Name in the report.
    pub name: String,
    /// The root directory.
    pub root: PathBuf,
    /// Path below the root.
    pub path: PathBuf,
    /// Whether the object exists, so that it can be opened.
    pub exists: bool,
    /// Whether the kernel can resolve it, so that there is a floor.
    pub kernel: bool,
}

/// Depths in components, and numbers of symlinks on the way.
const DEPTHS: [usize; 4] = [1, 5, 20, 100];
const LINKS: [usize; 4] = [0, 3, 40, 200];

/// Most symlinks that the kernel follows.
const KERNEL_LINKS: usize = 40;

/// All cases, below `base`.
pub fn cases(base: &Path) -> Vec<Case> {
    let base = base.canonicalize().unwrap();
    let mut cases = Vec::new();
    for depth in DEPTHS {
        for links in LINKS {
            cases.push(linked(&base, depth, links));
        }
        cases.push(missing_tail(&base, depth));
        cases.push(parents(&base, depth));
    }
    cases
}

/// `depth` components, the last one a file, with `links` symlinks spread evenly; several at one
/// component are a chain.
fn linked(base: &Path, depth: usize, links: usize) -> Case {
    let name = format!("depth-{depth}/links-{links}");
    let root = base.join(name.replace('/', "-"));
    let mut dir = root.clone();
    fs::create_dir_all(&dir).unwrap();
    let mut path = PathBuf::new();
    for level in 0..depth {
        let real = format!("d{level}");
        if level + 1 == depth {
            fs::write(dir.join(&real), "").unwrap();
        } else {
            fs::create_dir(dir.join(&real)).unwrap();
        }
        let count = links * (level + 1) / depth - links * level / depth;
        let mut target = real.clone();
        for link in 0..count {
            let next = format!("l{level}-{link}");
            symlink(&target, dir.join(&next)).unwrap();
            target = next;
        }
        path.push(target);
        dir.push(real);
    }
    Case {
        name,
        root,
        path,
        exists: true,
        kernel: links <= KERNEL_LINKS,
    }
}

/// `depth` components, of which the last half (at least one) does not exist.
fn missing_tail(base: &Path, depth: usize) -> Case {
    let name = format!("depth-{depth}/missing");
    let root = base.join(name.replace('/', "-"));
    let real: PathBuf = (0..depth / 2).map(|level| format!("d{level}")).collect();
    fs::create_dir_all(root.join(&real)).unwrap();
    let path = real.join(
        (depth / 2..depth)
            .map(|level| format!("m{level}"))
            .collect::<PathBuf>(),
    );
    Case {
        name,
        root,
        path,
        exists: false,
        kernel: true,
    }
}

/// `depth` components, each followed by `../` and itself again.
fn parents(base: &Path, depth: usize) -> Case {
    let name = format!("depth-{depth}/parents");
    let root = base.join(name.replace('/', "-"));
    let real: PathBuf = (0..depth).map(|level| format!("d{level}")).collect();
    fs::create_dir_all(root.join(real)).unwrap();
    let path = (0..depth)
        .map(|level| format!("d{level}/../d{level}"))
        .collect();
    Case {
        name,
        root,
        path,
        exists: true,
        kernel: true,
    }
}

/// Runs `contenders` over `cases`; each is only given what it can do.
pub fn compare(c: &mut Criterion, title: &str, cases: &[Case], contenders: &[Contender]) {
    let mut group = c.benchmark_group(title);
    quick(&mut group);
    for case in cases {
        for (name, resolve) in contenders {
            if *name == "floor" && !case.kernel {
                continue;
            }
            group.bench_function(BenchmarkId::new(*name, &case.name), |b| {
                b.iter(|| resolve(&case.root, &case.path));
            });
        }
    }
    group.finish();
}

/// Short measurements: there are many.
pub fn quick(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.sample_size(30);
    group.warm_up_time(Duration::from_millis(200));
    group.measurement_time(Duration::from_millis(600));
}

/// `scoped_join` of this crate.
pub fn join() -> Contender {
    (
        "safe-path",
        Box::new(|root, path| drop(safe_path::scoped_join(root, path).unwrap())),
    )
}

/// `PinnedPathBuf::new` of this crate.
pub fn pin() -> Contender {
    (
        "safe-path",
        Box::new(|root, path| drop(safe_path::PinnedPathBuf::new(root, path))),
    )
}

/// `Root::open` and `Root::resolve` of pathrs, which limits symlinks to those of the kernel and
/// fails where the object is missing.
pub fn pathrs() -> Contender {
    let resolve = |root: &Path, path: &Path| drop(pathrs::Root::open(root).unwrap().resolve(path));
    ("pathrs", Box::new(resolve))
}

/// One bare openat2 call on an open root, and the close: what any safe resolution costs.
pub fn floor() -> Contender {
    let roots = std::cell::RefCell::new(std::collections::HashMap::<PathBuf, fs::File>::new());
    let resolve = move |root: &Path, path: &Path| {
        let mut roots = roots.borrow_mut();
        if !roots.contains_key(root) {
            roots.insert(root.to_owned(), fs::File::open(root).unwrap());
        }
        drop(openat2(roots[root].as_raw_fd(), path));
    };
    ("floor", Box::new(resolve))
}

fn openat2(root: i32, path: &Path) -> Option<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let mut bytes = [0_u8; 4096];
    let path = path.as_os_str().as_bytes();
    bytes[..path.len()].copy_from_slice(path);
    // SAFETY: all zero is a valid `open_how`.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_PATH | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    // SAFETY: `bytes` is NUL-terminated, and the size is that of `how`.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root,
            bytes.as_ptr(),
            &raw const how,
            size_of_val(&how),
        )
    };
    // SAFETY: a descriptor that was opened just now.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
