//! Long paths and deep trees: linear work, and right answers beyond `PATH_MAX` (D4, D12).

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{BACKENDS, c_path, join, pin, resolve, temporary};
use crate::resolver::Backend;
use crate::sys::{self, Last};
use crate::{PinnedPathBuf, ScopedDirBuilder, ScopedRoot};

#[test]
fn long_paths_are_accepted_and_linear() {
    // Were it quadratic as in the reference, the longest would take minutes.
    let (_tmp, root) = temporary();
    fs::create_dir_all(root.join("x/y")).unwrap();
    symlink("x/y", root.join("link")).unwrap();
    for backend in BACKENDS {
        for count in [1_000, 80_000] {
            let missing = "a/".repeat(count);
            let expected = missing.trim_end_matches('/');
            assert_eq!(
                resolve(backend, &root, &missing).unwrap().as_os_str(),
                expected
            );
            let resolved = resolve(backend, &root, format!("link/{missing}")).unwrap();
            assert_eq!(resolved, Path::new("x/y").join(expected));
        }
        for detour in [
            "x/../",
            "a/../",
            "x/y/../../",
            "a/b/../../",
            "./",
            "x/y/../y/../../",
        ] {
            let path = format!("{}link", detour.repeat(20_000));
            assert_eq!(
                resolve(backend, &root, &path).unwrap(),
                Path::new("x/y"),
                "{detour}"
            );
        }
        let mut parents = "a/".repeat(50_000);
        parents.push_str(&"../".repeat(50_000));
        parents.push_str("link");
        assert_eq!(resolve(backend, &root, &parents).unwrap(), Path::new("x/y"));
        assert_eq!(
            pin(backend, &root, &parents).unwrap().target(),
            root.join("x/y")
        );
    }
}

#[test]
fn links_of_many_detours_are_linear_too() {
    let (_tmp, root) = temporary();
    fs::create_dir(root.join("x")).unwrap();
    for link in 0..255 {
        let text = format!("{}l{}", "m/../".repeat(800), link + 1);
        symlink(text, root.join(format!("l{link}"))).unwrap();
    }
    for backend in BACKENDS {
        assert_eq!(resolve(backend, &root, "l0").unwrap(), Path::new("l255"));
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to writable memory of the right type.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn what_follows_a_chain_of_links_is_not_read_again_for_each() {
    let (_tmp, root) = temporary();
    for link in 0..255 {
        symlink(format!("l{}", link + 1), root.join(format!("l{link}"))).unwrap();
    }
    let name = "x".repeat(1 << 20);
    for rest in [format!("{}x", "./".repeat(1 << 19)), name] {
        let expected = Path::new("l255").join(rest.rsplit('/').next().unwrap());
        for backend in BACKENDS {
            // As much work without any link is the measure, not a time.
            let [direct, chain] = ["l255", "l0"].map(|first| {
                let path = format!("../{first}/{rest}");
                let start = cpu_time();
                assert_eq!(resolve(backend, &root, path).unwrap(), expected);
                cpu_time() - start
            });
            println!("{backend:?}: {direct:?} without links, {chain:?} with 255");
            assert!(chain < 30 * direct, "{backend:?}: {chain:?} {direct:?}");
        }
    }
}

/// Creates `depth` directories `name` below each other, and returns the last one.
fn deep_tree(root: &Path, name: &str, depth: usize) -> OwnedFd {
    let mut dir = sys::openat(sys::CWD, &c_path(root), Last::Directory).unwrap();
    let name = c_path(Path::new(name));
    for _ in 0..depth {
        sys::mkdirat(dir.as_fd(), &name, 0o700).unwrap();
        dir = sys::openat(dir.as_fd(), &name, Last::Directory).unwrap();
    }
    dir
}

#[test]
fn symlinks_below_more_than_path_max_bytes_are_expanded() {
    let (_tmp, root) = temporary();
    let name = "n".repeat(200);
    let last = deep_tree(&root, &name, 30); // 6 kB
    // SAFETY: both strings are NUL-terminated, and the descriptor is open.
    let result = unsafe { libc::symlinkat(c"../up".as_ptr(), last.as_raw_fd(), c"link".as_ptr()) };
    assert_eq!(result, 0);
    let deep = format!("{name}/").repeat(30);
    let parent = format!("{name}/").repeat(29);
    for backend in BACKENDS {
        let resolved = resolve(backend, &root, format!("{deep}link/x")).unwrap();
        assert_eq!(
            resolved.as_os_str(),
            &*format!("{parent}up/x"),
            "{backend:?}"
        );
        let error = pin(backend, &root, &deep).unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(libc::ENAMETOOLONG),
            "{backend:?}"
        );
        let back = format!("{deep}{}", "../".repeat(25));
        let expected = root.join(format!("{name}/").repeat(5));
        assert_eq!(
            pin(backend, &root, &back).unwrap().target(),
            expected,
            "{backend:?}"
        );
    }
}

/// A directory below which names cannot be as long as usual, and how long they can be.
fn long_root(base: &Path) -> (PathBuf, usize) {
    let mut root = base.to_owned();
    let name = "n".repeat(100);
    while root.as_os_str().len() < 3_850 {
        root.push(&name);
    }
    fs::create_dir_all(&root).unwrap();
    let longest = libc::PATH_MAX as usize - 2 - root.as_os_str().len(); // with `/`, and NUL behind
    (root, longest)
}

#[test]
fn a_target_of_path_max_bytes_is_an_error_and_one_below_is_none() {
    let (_tmp, base) = temporary();
    let (root, longest) = long_root(&base);
    let dir = sys::openat(sys::CWD, &c_path(&root), Last::Directory).unwrap();
    for backend in BACKENDS {
        for (length, errno) in [
            (100, None),
            (longest - 1, None),
            (longest, None),
            (longest + 1, Some(libc::ENAMETOOLONG)),
            (longest + 2, Some(libc::ENAMETOOLONG)),
        ] {
            let name = "x".repeat(length);
            let path = c_path(Path::new(&name));
            let made = sys::mkdirat(dir.as_fd(), &path, 0o700);
            assert!(matches!(made, Ok(()) | Err(sys::Errno(libc::EEXIST))));
            for path in [name.clone(), format!("m/../{name}"), format!("./{name}/.")] {
                let found = pin(backend, &root, &path);
                if errno.is_none() {
                    assert_eq!(found.unwrap().target(), root.join(&name), "{backend:?}");
                } else {
                    let found = found.map_err(|error| error.raw_os_error());
                    assert_eq!(found.unwrap_err(), errno, "{backend:?} {length}");
                }
            }
        }
    }
}

type Make<'a> = dyn Fn(&str) -> io::Result<PinnedPathBuf> + 'a;

#[test]
fn a_directory_whose_path_has_path_max_bytes_is_not_created() {
    let (_tmp, base) = temporary();
    let (root, longest) = long_root(&base);
    for backend in BACKENDS {
        let builder = ScopedDirBuilder::with_backend(backend, &root).unwrap();
        let mut recursive = ScopedDirBuilder::with_backend(backend, &root).unwrap();
        recursive.recursive(true);
        let handle = ScopedRoot::with_backend(backend, &root).unwrap();
        let pinned = pin(backend, &root, "").unwrap();
        for (length, errno) in [
            (longest, None),
            (longest + 1, Some(libc::ENAMETOOLONG)),
            (longest + 2, Some(libc::ENAMETOOLONG)),
        ] {
            let name = "x".repeat(length);
            let below = format!("a/b/{}", "x".repeat(length - 4));
            let makers: [(&str, &Make<'_>, &str); 5] = [
                ("mkdir", &|path| pinned.mkdir(path.as_ref(), 0o700), &name),
                ("create", &|path| builder.create(path), &name),
                ("create, recursive", &|path| recursive.create(path), &below),
                (
                    "create_with_unscoped_path",
                    &|path| recursive.create_with_unscoped_path(root.join(path)),
                    &below,
                ),
                ("mkdir_all", &|path| handle.mkdir_all(path, 0o700), &below),
            ];
            for (what, make, path) in makers {
                let what = format!("{backend:?} {what} {length}");
                let made = make(path);
                match errno {
                    None => assert_eq!(made.unwrap().target(), root.join(path), "{what}"),
                    Some(_) => assert_eq!(made.unwrap_err().raw_os_error(), errno, "{what}"),
                }
                let left: Vec<_> = fs::read_dir(&root).unwrap().collect();
                assert_eq!(left.len(), usize::from(errno.is_none()), "{what}");
                if errno.is_none() {
                    let first = path.split('/').next().unwrap();
                    fs::remove_dir_all(root.join(first)).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_magic_link_with_a_text_beyond_path_max_is_an_error_and_no_name() {
    let (_tmp, root) = temporary();
    let last = deep_tree(&root, &"n".repeat(200), 30); // 6 kB
    let number = last.as_raw_fd();
    for backend in BACKENDS {
        for path in ["", "/x", "/..", "/../x", "/x/y/z"] {
            let error = resolve(backend, "/proc/self/fd", format!("{number}{path}")).unwrap_err();
            assert_eq!(
                error.raw_os_error(),
                Some(libc::ENAMETOOLONG),
                "{backend:?} {path}"
            );
        }
        // A name that is too long is none, as ever.
        let long = "n".repeat(256);
        assert_eq!(resolve(backend, &root, &long).unwrap().as_os_str(), &*long);
    }
}

#[test]
fn going_up_far_re_opens_directories_that_were_closed() {
    let (_tmp, root) = temporary();
    deep_tree(&root, "d", 500);
    symlink("d/d", root.join("d/d/d/link")).unwrap();
    fs::create_dir(root.join("d/d/d/d/e")).unwrap();
    let path = |down: usize, up: usize| format!("{}{}", "d/".repeat(down), "../".repeat(up));
    let link = "link/../../../e"; // d/d/d + d/d, and up to d/d
    for backend in BACKENDS {
        for (down, up) in [(500, 497), (100, 97), (70, 67), (33, 30), (3, 0)] {
            let input = format!("{}{link}", path(down, up));
            assert_eq!(
                resolve(backend, &root, &input).unwrap(),
                Path::new("d/d/e"),
                "{backend:?} {down}"
            );
        }
        let zigzag = format!("{}{}", path(500, 400), path(300, 397));
        let input = format!("{zigzag}d/e");
        assert_eq!(
            resolve(backend, &root, &input).unwrap(),
            Path::new("d/d/d/d/e")
        );
        assert_eq!(
            pin(backend, &root, &input).unwrap().target(),
            root.join("d/d/d/d/e")
        );
    }
}

#[test]
fn a_path_longer_than_one_openat2_call_is_split() {
    let (_tmp, root) = temporary();
    deep_tree(&root, "d", 300);
    let path = "d/".repeat(300);
    for backend in [Backend::WalkByRuns, Backend::Openat2] {
        let target = pin(backend, &root, format!("m/../{path}")).unwrap();
        assert_eq!(target.target(), root.join(&path));
        assert_eq!(
            resolve(backend, &root, format!("m/../{path}x/../y")).unwrap(),
            Path::new(&path).join("y")
        );
    }
    let root_of_path_max = root.join("x".repeat(4096));
    for backend in BACKENDS {
        let error = join(backend, &root_of_path_max, Path::new("x")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
        let slashes = format!("{}{}", "/".repeat(4096), root.display());
        let error = pin(backend, &slashes, "x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
}
