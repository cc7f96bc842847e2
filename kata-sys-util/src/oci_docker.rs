//! Containers of Docker, and the network namespace that Docker has made for one.
//!
//! Docker puts a hook
//! ([*POSIX-platform Hooks*](https://github.com/opencontainers/runtime-spec/blob/main/config.md#posix-platform-hooks))
//! into the OCI spec by which `libnetwork` learns the container's process:
//! `libnetwork-setkey [-FLAG…] SANDBOX-ID CONTROLLER-ID`. The namespace
//! ([`network_namespaces(7)`](https://man7.org/linux/man-pages/man7/network_namespaces.7.html))
//! is then mounted at `/var/run/docker/netns/SANDBOX-ID`.
//!
//! Newer releases of Docker name that file otherwise, and since 28 ordinary containers have no such
//! hook. For those, nothing is found here, and nothing is guessed.

use std::fs;
use std::path::Path;

use oci_spec::runtime::Spec;
use slog::debug;

use crate::fs::fs_magic;
use crate::sl;

/// Where Docker mounts network namespaces.
const NETNS_DIRECTORIES: [&str; 2] = ["/var/run/docker/netns/", "/run/docker/netns/"];

/// What arguments of Docker's hook begin with.
const HOOK_PREFIX: &str = "libnetwork";

/// The argument before the id of the sandbox.
const SET_KEY: &str = "libnetwork-setkey";

/// Length of a sandbox id.
const ID_LENGTH: usize = 64;

/// `include/uapi/linux/magic.h`: the file system of namespaces.
const NSFS_MAGIC: u32 = 0x6e73_6673;

/// Whether the spec is of a container of Docker's: an argument of a `prestart` or `createRuntime`
/// hook begins with `libnetwork`.
///
/// ```
/// use kata_sys_util::oci_docker::is_docker_container;
/// use oci_spec::runtime::{HookBuilder, HooksBuilder, Spec};
///
/// let mut spec = Spec::default();
/// assert!(!is_docker_container(&spec));
///
/// let args = ["libnetwork-setkey", "id", "controller"].map(String::from);
/// let hook = HookBuilder::default().path("/usr/bin/dockerd").args(args).build()?;
/// spec.set_hooks(Some(HooksBuilder::default().create_runtime([hook]).build()?));
/// assert!(is_docker_container(&spec));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn is_docker_container(spec: &Spec) -> bool {
    hook_arguments(spec)
        .flatten()
        .any(|argument| argument.starts_with(HOOK_PREFIX))
}

/// The network namespace that Docker has made for the container, if the spec tells it and it is
/// there.
///
/// It is a file in `/var/run/docker/netns/` or `/run/docker/netns/` whose name is the sandbox id
/// after `libnetwork-setkey` and its flags in a `prestart` or `createRuntime` hook: 64 digits of
/// `0-9a-f`. It must be a namespace, not a file left over from one that is unmounted.
///
/// ```
/// use kata_sys_util::oci_docker::docker_netns_path;
/// use oci_spec::runtime::Spec;
///
/// assert_eq!(docker_netns_path(&Spec::default()), None); // has no hooks
/// ```
pub fn docker_netns_path(spec: &Spec) -> Option<String> {
    find_netns(spec, &NETNS_DIRECTORIES.map(Path::new), is_namespace)
}

/// As [`docker_netns_path`], with other directories than Docker's, and any regular file there.
///
/// ```
/// use std::path::Path;
/// use kata_sys_util::oci_docker::docker_netns_path_in;
/// use oci_spec::runtime::{HookBuilder, HooksBuilder, Spec};
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
///
/// let id = "0123456789abcdef".repeat(4);
/// std::fs::write(dir.join(&id), "")?;
/// let args = ["libnetwork-setkey", "-exec-root=/run/docker", &id].map(String::from);
/// let hook = HookBuilder::default().path("/usr/bin/dockerd").args(args).build()?;
/// let mut spec = Spec::default();
/// spec.set_hooks(Some(HooksBuilder::default().prestart([hook]).build()?));
///
/// let found = docker_netns_path_in(&spec, &[Path::new("/nowhere"), dir]);
/// assert_eq!(found.as_deref(), dir.join(&id).to_str());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn docker_netns_path_in(spec: &Spec, prefixes: &[&Path]) -> Option<String> {
    find_netns(spec, prefixes, |_| true)
}

fn find_netns(
    spec: &Spec,
    directories: &[&Path],
    is_wanted: impl Fn(&Path) -> bool,
) -> Option<String> {
    let ids = hook_arguments(spec).flat_map(sandbox_ids);
    let mut paths = ids.flat_map(|id| directories.iter().map(move |dir| dir.join(id)));
    paths.find_map(|path| {
        let is_found = is_regular_file(&path) && is_wanted(&path);
        path.to_str().filter(|_| is_found).map(str::to_owned)
    })
}

/// The arguments of each hook, `prestart` first.
fn hook_arguments(spec: &Spec) -> impl Iterator<Item = &[String]> {
    let hooks = spec.hooks().iter();
    let lists = hooks.flat_map(|hooks| [hooks.prestart(), hooks.create_runtime()]);
    lists
        .flatten()
        .flatten()
        .filter_map(|hook| hook.args().as_deref())
}

/// The well-formed ids among the arguments.
fn sandbox_ids(arguments: &[String]) -> impl Iterator<Item = &str> {
    let positions = arguments.iter().enumerate();
    positions.filter_map(|(index, argument)| {
        if argument != SET_KEY {
            return None;
        }
        let mut rest = arguments.iter().skip(index).skip(1);
        let id = rest.find(|argument| !argument.starts_with('-'))?;
        if !is_sandbox_id(id) {
            debug!(sl!(), "{SET_KEY}: not a sandbox id: {id:?}");
            return None;
        }
        Some(id.as_str())
    })
}

fn is_sandbox_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_regular_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn is_namespace(path: &Path) -> bool {
    fs_magic(path).is_ok_and(|magic| magic == NSFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use oci_spec::runtime::{Hook, HookBuilder, HooksBuilder};

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

    fn hook(args: &[&str]) -> Hook {
        let args = args.iter().map(|arg| (*arg).to_owned());
        let builder = HookBuilder::default().path("/proc/1/exe");
        builder.args(args.collect::<Vec<_>>()).build().unwrap()
    }

    fn spec(prestart: &[&[&str]], create_runtime: &[&[&str]]) -> Spec {
        let hooks = |lists: &[&[&str]]| lists.iter().map(|list| hook(list)).collect::<Vec<_>>();
        let hooks = HooksBuilder::default()
            .prestart(hooks(prestart))
            .create_runtime(hooks(create_runtime))
            .build()
            .unwrap();
        let mut spec = Spec::default();
        spec.set_hooks(Some(hooks));
        spec
    }

    fn find(spec: &Spec, names: &[&str]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found = docker_netns_path_in(spec, &[dir.path()])?;
        Some(
            found
                .strip_prefix(&format!("{}/", dir.path().display()))
                .unwrap()
                .to_owned(),
        )
    }

    #[test]
    fn docker_is_known_by_an_argument_of_its_hook() {
        let mut without_hooks = Spec::default();
        without_hooks.set_hooks(None);
        for (name, expected, spec) in [
            ("no hooks", false, without_hooks),
            ("empty", false, spec(&[], &[])),
            ("no arguments", false, spec(&[&[]], &[&[]])),
            (
                "other",
                false,
                spec(&[&["a", "my-libnetwork"]], &[&["Libnetwork"]]),
            ),
            (
                "prestart",
                true,
                spec(&[&["a"], &["b", "libnetwork-setkey"]], &[]),
            ),
            ("createRuntime", true, spec(&[], &[&["libnetwork"]])),
        ] {
            assert_eq!(is_docker_container(&spec), expected, "{name}");
        }
    }

    #[test]
    fn other_kinds_of_hooks_do_not_count() {
        let hooks = HooksBuilder::default()
            .create_container([hook(&["libnetwork-setkey", ID])])
            .start_container([hook(&["libnetwork-setkey", ID])])
            .poststart([hook(&["libnetwork-setkey", ID])])
            .poststop([hook(&["libnetwork-setkey", ID])])
            .build()
            .unwrap();
        let mut spec = Spec::default();
        spec.set_hooks(Some(hooks));
        assert!(!is_docker_container(&spec));
        assert_eq!(find(&spec, &[ID]), None);
    }

    #[test]
    fn id_follows_the_keyword_and_its_flags() {
        let flag = "-exec-root=/var/run/docker";
        for (name, args) in [
            ("plain", vec!["libnetwork-setkey", ID]),
            (
                "with controller",
                vec!["libnetwork-setkey", ID, "controller"],
            ),
            ("flag", vec!["libnetwork-setkey", flag, ID, "controller"]),
            (
                "flags",
                vec!["x", "libnetwork-setkey", flag, "-", "--a", ID],
            ),
            (
                "second keyword",
                vec!["libnetwork-setkey", "short", "libnetwork-setkey", ID],
            ),
            (
                "keyword twice",
                vec!["libnetwork-setkey", "libnetwork-setkey", ID],
            ),
        ] {
            assert_eq!(
                find(&spec(&[&args], &[]), &[ID]).as_deref(),
                Some(ID),
                "{name}"
            );
        }
    }

    #[test]
    fn malformed_ids_are_skipped_and_the_search_goes_on() {
        let upper = ID.to_uppercase();
        let long = format!("{ID}0");
        let short = ID.strip_prefix('0').unwrap();
        let bad = [
            "",
            "short",
            short,
            &long,
            &upper,
            &ID.replace('a', "g"),
            "../x",
            "libnetwork",
        ];
        for id in bad {
            let args: &[&str] = &["libnetwork-setkey", id];
            assert_eq!(find(&spec(&[args], &[]), &[ID]), None, "{id:?}");
            let more = spec(&[args], &[&["libnetwork-setkey", ID]]);
            assert_eq!(find(&more, &[ID]).as_deref(), Some(ID), "{id:?}");
        }
        for args in [
            vec!["libnetwork-setkey"],
            vec!["libnetwork-setkey", "-a"],
            vec![ID],
        ] {
            assert_eq!(find(&spec(&[&args], &[]), &[ID]), None, "{args:?}");
        }
    }

    #[test]
    fn prestart_comes_before_create_runtime_if_its_file_exists() {
        let spec = spec(
            &[&["libnetwork-setkey", ID]],
            &[&["libnetwork-setkey", OTHER]],
        );
        assert_eq!(find(&spec, &[OTHER, ID]).as_deref(), Some(ID));
        assert_eq!(find(&spec, &[OTHER]).as_deref(), Some(OTHER));
    }

    #[test]
    fn only_regular_files_count_and_directories_are_searched_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = ["link", "directory", "missing", "first", "second"].map(|d| dir.path().join(d));
        let [link, directory, missing, first, second] = &dirs;
        for dir in [link, directory, first, second] {
            fs::create_dir(dir).unwrap();
        }
        fs::create_dir(directory.join(ID)).unwrap();
        fs::write(first.join(ID), "").unwrap();
        fs::write(second.join(ID), "").unwrap();
        symlink(first.join(ID), link.join(ID)).unwrap();

        let spec = spec(&[&["libnetwork-setkey", ID]], &[]);
        let in_dirs = |dirs: &[&Path]| docker_netns_path_in(&spec, dirs);
        assert_eq!(in_dirs(&[link, directory, missing]), None);
        assert_eq!(in_dirs(&[]), None);
        let expected = first.join(ID).to_str().map(str::to_owned);
        assert_eq!(
            in_dirs(&[link, directory, missing, first, second]),
            expected
        );
    }

    #[test]
    fn directory_that_is_no_text_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let [bytes, text] = [OsStr::from_bytes(b"\xff"), OsStr::new("text")].map(|name| {
            let directory = dir.path().join(name);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join(ID), "").unwrap();
            directory
        });
        let spec = spec(&[&["libnetwork-setkey", ID]], &[]);
        assert_eq!(docker_netns_path_in(&spec, &[&bytes]), None);
        let found = docker_netns_path_in(&spec, &[&bytes, &text]);
        assert_eq!(found.as_deref(), text.join(ID).to_str());
    }

    #[test]
    fn plain_file_is_no_namespace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(!is_namespace(file.path()));
        assert!(is_namespace(Path::new("/proc/self/ns/net")));
        assert!(!is_namespace(Path::new("/nowhere")));
        // The real directories hold no such id.
        assert_eq!(
            docker_netns_path(&spec(&[&["libnetwork-setkey", ID]], &[])),
            None
        );
    }
}
