//! Mount options as words, as in `fstab(5)`, OCI runtime specifications and CRI requests, and the
//! flags and data of `mount(2)` that they stand for.

use nix::mount::MsFlags;
use slog::debug;

use super::error::{Error, Result};
use super::sys;

/// The flags that say how mounts below a mount are shared with its copies. `mount(2)` takes one of
/// them, in a call of its own.
pub(super) const PROPAGATION: MsFlags = MsFlags::MS_SHARED
    .union(MsFlags::MS_PRIVATE)
    .union(MsFlags::MS_SLAVE)
    .union(MsFlags::MS_UNBINDABLE);

/// What one option does to the flags.
#[derive(Clone, Copy)]
enum Effect {
    Nothing,
    Set(MsFlags),
    Clear(MsFlags),
}

use Effect::{Clear, Nothing, Set};

/// Every option that is a flag; sorted, for binary search.
const FLAGS: &[(&str, Effect)] = &[
    ("async", Clear(MsFlags::MS_SYNCHRONOUS)),
    ("atime", Clear(MsFlags::MS_NOATIME)),
    ("bind", Set(MsFlags::MS_BIND)),
    ("defaults", Nothing),
    ("dev", Clear(MsFlags::MS_NODEV)),
    ("diratime", Clear(MsFlags::MS_NODIRATIME)),
    ("dirsync", Set(MsFlags::MS_DIRSYNC)),
    ("exec", Clear(MsFlags::MS_NOEXEC)),
    ("iversion", Set(MsFlags::MS_I_VERSION)),
    ("loud", Clear(MsFlags::MS_SILENT)),
    ("mand", Set(MsFlags::MS_MANDLOCK)),
    ("noatime", Set(MsFlags::MS_NOATIME)),
    ("nodev", Set(MsFlags::MS_NODEV)),
    ("nodiratime", Set(MsFlags::MS_NODIRATIME)),
    ("noexec", Set(MsFlags::MS_NOEXEC)),
    ("noiversion", Clear(MsFlags::MS_I_VERSION)),
    ("nomand", Clear(MsFlags::MS_MANDLOCK)),
    ("norelatime", Clear(MsFlags::MS_RELATIME)),
    ("nostrictatime", Clear(MsFlags::MS_STRICTATIME)),
    ("nosuid", Set(MsFlags::MS_NOSUID)),
    ("private", Set(MsFlags::MS_PRIVATE)),
    ("rbind", Set(MsFlags::MS_BIND.union(MsFlags::MS_REC))),
    ("relatime", Set(MsFlags::MS_RELATIME)),
    ("remount", Set(MsFlags::MS_REMOUNT)),
    ("ro", Set(MsFlags::MS_RDONLY)),
    ("rprivate", Set(MsFlags::MS_PRIVATE.union(MsFlags::MS_REC))),
    ("rshared", Set(MsFlags::MS_SHARED.union(MsFlags::MS_REC))),
    ("rslave", Set(MsFlags::MS_SLAVE.union(MsFlags::MS_REC))),
    (
        "runbindable",
        Set(MsFlags::MS_UNBINDABLE.union(MsFlags::MS_REC)),
    ),
    ("rw", Clear(MsFlags::MS_RDONLY)),
    ("shared", Set(MsFlags::MS_SHARED)),
    ("silent", Set(MsFlags::MS_SILENT)),
    ("slave", Set(MsFlags::MS_SLAVE)),
    ("strictatime", Set(MsFlags::MS_STRICTATIME)),
    ("suid", Clear(MsFlags::MS_NOSUID)),
    ("sync", Set(MsFlags::MS_SYNCHRONOUS)),
    ("unbindable", Set(MsFlags::MS_UNBINDABLE)),
];

/// Words that only `mount(8)` and boot scripts understand (M13); sorted, for binary search.
const FSTAB_ONLY: &[&str] = &[
    "_netdev", "auto", "group", "noauto", "nofail", "nouser", "owner", "user", "users",
];

/// Beginnings of options that only `mount(8)` understands (M13).
const FSTAB_ONLY_PREFIXES: &[&str] = &["X-", "comment=", "x-"];

/// The flags and the data string for `mount(2)` of a list of mount options.
///
/// Options take effect from left to right, a later one over an earlier one: `ro,rw` is writable,
/// and of several propagation types (`shared`, `rslave`, …) the last one is meant. `MS_REC` stays
/// set once `rbind` or one of the recursive types asked for it.
///
/// What is no flag is data for the file system, in the given order and joined with `,`, byte for
/// byte. Two kinds of options are dropped: empty ones, and the words that only `mount(8)`
/// understands (`auto`, `noauto`, `nofail`, `_netdev`, `user`, `nouser`, `users`, `owner`,
/// `group`, `x-…`, `X-…`, `comment=…`). Names are case-sensitive.
///
/// Option names are those of [`mount(8)`](https://man7.org/linux/man-pages/man8/mount.8.html), the
/// flags those of [`mount(2)`](https://man7.org/linux/man-pages/man2/mount.2.html).
///
/// # Errors
///
/// [`InvalidMountOption`](Error::InvalidMountOption) for `loop`, which needs a loop device first;
/// [`MountOptionTooBig`](Error::MountOptionTooBig) if the data are as long as a memory page or
/// longer: the kernel needs the last byte for itself and would cut off the rest in silence.
///
/// ```
/// use kata_sys_util::mount::parse_mount_options;
/// use nix::mount::MsFlags;
///
/// let (flags, data) = parse_mount_options(&["nosuid", "ro", "size=4m", "mode=755"])?;
/// assert_eq!(flags, MsFlags::MS_NOSUID | MsFlags::MS_RDONLY);
/// assert_eq!(data, "size=4m,mode=755");
/// # Ok::<(), kata_sys_util::mount::Error>(())
/// ```
pub fn parse_mount_options<T: AsRef<str>>(options: &[T]) -> Result<(MsFlags, String)> {
    let parsed = MountOptions::parse(options)?;
    if !parsed.fits_mount_call() {
        return Err(Error::MountOptionTooBig);
    }
    Ok((parsed.flags, parsed.data))
}

/// Mount options, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MountOptions {
    pub(super) flags: MsFlags,
    /// Flags that an option switched off and no later one switched on again.
    pub(super) cleared: MsFlags,
    /// What the file system gets; of any length.
    pub(super) data: String,
}

impl MountOptions {
    pub(super) fn parse<T: AsRef<str>>(options: &[T]) -> Result<Self> {
        let mut flags = MsFlags::empty();
        let mut cleared = MsFlags::empty();
        let mut data = String::new();
        for option in options.iter().map(AsRef::as_ref) {
            match effect_of(option) {
                Some(Nothing) => {}
                Some(Set(set)) => {
                    if set.intersects(PROPAGATION) {
                        flags.remove(PROPAGATION); // M19
                    }
                    flags.insert(set);
                    cleared.remove(set);
                }
                Some(Clear(clear)) => {
                    flags.remove(clear);
                    cleared.insert(clear);
                }
                None if option == "loop" => {
                    return Err(Error::InvalidMountOption(option.to_owned()));
                }
                None if option.is_empty() => {}
                None if is_fstab_only(option) => {
                    debug!(crate::sl!(), "mount option has no meaning here"; "option" => key_of(option));
                }
                None => {
                    if !data.is_empty() {
                        data.push(',');
                    }
                    data.push_str(option);
                }
            }
        }
        Ok(Self {
            flags,
            cleared,
            data,
        })
    }

    /// Whether `mount(2)` takes the data whole: it copies a page and puts a NUL at its end (M7).
    pub(super) fn fits_mount_call(&self) -> bool {
        fits_mount_call(&self.data)
    }
}

pub(super) fn fits_mount_call(data: &str) -> bool {
    data.len() < sys::page_size()
}

fn effect_of(option: &str) -> Option<Effect> {
    let row = FLAGS
        .binary_search_by_key(&option, |(name, _)| name)
        .ok()
        .and_then(|index| FLAGS.get(index));
    row.map(|(_, effect)| *effect)
}

fn is_fstab_only(option: &str) -> bool {
    FSTAB_ONLY.binary_search(&option).is_ok()
        || FSTAB_ONLY_PREFIXES
            .iter()
            .any(|prefix| option.starts_with(prefix))
}

/// The option without its value, which may be a secret.
fn key_of(option: &str) -> &str {
    option.split_once('=').map_or(option, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flags_of(options: &[&str]) -> MsFlags {
        parse_mount_options(options).unwrap().0
    }

    fn data_of(options: &[&str]) -> String {
        parse_mount_options(options).unwrap().1
    }

    #[test]
    fn tables_are_sorted_and_without_duplicates() {
        assert!(FLAGS.is_sorted_by(|(a, _), (b, _)| a < b));
        assert!(FSTAB_ONLY.is_sorted_by(|a, b| a < b));
        assert_eq!(FLAGS.len(), 37);
    }

    #[test]
    fn every_flag_option_has_its_flag() {
        let set: &[(&str, MsFlags)] = &[
            ("bind", MsFlags::MS_BIND),
            ("rbind", MsFlags::MS_BIND | MsFlags::MS_REC),
            ("dirsync", MsFlags::MS_DIRSYNC),
            ("iversion", MsFlags::MS_I_VERSION),
            ("mand", MsFlags::MS_MANDLOCK),
            ("noatime", MsFlags::MS_NOATIME),
            ("nodev", MsFlags::MS_NODEV),
            ("nodiratime", MsFlags::MS_NODIRATIME),
            ("noexec", MsFlags::MS_NOEXEC),
            ("nosuid", MsFlags::MS_NOSUID),
            ("relatime", MsFlags::MS_RELATIME),
            ("remount", MsFlags::MS_REMOUNT),
            ("ro", MsFlags::MS_RDONLY),
            ("silent", MsFlags::MS_SILENT),
            ("strictatime", MsFlags::MS_STRICTATIME),
            ("sync", MsFlags::MS_SYNCHRONOUS),
            ("shared", MsFlags::MS_SHARED),
            ("rshared", MsFlags::MS_SHARED | MsFlags::MS_REC),
            ("private", MsFlags::MS_PRIVATE),
            ("rprivate", MsFlags::MS_PRIVATE | MsFlags::MS_REC),
            ("slave", MsFlags::MS_SLAVE),
            ("rslave", MsFlags::MS_SLAVE | MsFlags::MS_REC),
            ("unbindable", MsFlags::MS_UNBINDABLE),
            ("runbindable", MsFlags::MS_UNBINDABLE | MsFlags::MS_REC),
        ];
        for (option, flags) in set {
            assert_eq!(
                parse_mount_options(&[option]).unwrap(),
                (*flags, String::new()),
                "{option}"
            );
        }
        let undone: &[(&str, &str)] = &[
            ("sync", "async"),
            ("noatime", "atime"),
            ("nodev", "dev"),
            ("nodiratime", "diratime"),
            ("noexec", "exec"),
            ("silent", "loud"),
            ("iversion", "noiversion"),
            ("mand", "nomand"),
            ("relatime", "norelatime"),
            ("strictatime", "nostrictatime"),
            ("ro", "rw"),
            ("nosuid", "suid"),
        ];
        for (set, clear) in undone {
            assert_eq!(flags_of(&[set, clear]), MsFlags::empty(), "{set},{clear}");
            assert_eq!(flags_of(&[clear, set]), flags_of(&[set]), "{clear},{set}");
            assert_eq!(data_of(&[clear]), "", "{clear}");
        }
        assert_eq!(set.len() + undone.len() + 1, FLAGS.len());
        assert_eq!(
            parse_mount_options(&["defaults"]).unwrap(),
            (MsFlags::empty(), String::new())
        );
    }

    #[test]
    fn last_propagation_type_wins() {
        assert_eq!(flags_of(&["shared", "slave"]), MsFlags::MS_SLAVE);
        assert_eq!(
            flags_of(&["rshared", "private"]),
            MsFlags::MS_PRIVATE | MsFlags::MS_REC
        );
        assert_eq!(
            flags_of(&["rbind", "unbindable", "private"]),
            MsFlags::MS_BIND | MsFlags::MS_REC | MsFlags::MS_PRIVATE
        );
    }

    #[test]
    fn rest_is_data_in_order() {
        assert_eq!(
            data_of(&["lowerdir=/b:/a", "ro", "Ro", " rw", "lazytime", "move"]),
            "lowerdir=/b:/a,Ro, rw,lazytime,move"
        );
        assert_eq!(data_of(&["a=1", "a=1"]), "a=1,a=1");
        assert_eq!(data_of(&["nosymfollow"]), "nosymfollow");
        assert_eq!(
            parse_mount_options::<String>(&[]).unwrap(),
            (MsFlags::empty(), String::new())
        );
    }

    #[test]
    fn empty_and_fstab_only_options_are_dropped() {
        assert_eq!(data_of(&["ro", ""]), "");
        assert_eq!(data_of(&["", "a", "", "b", ""]), "a,b");
        for option in [
            "auto",
            "noauto",
            "nofail",
            "_netdev",
            "user",
            "nouser",
            "users",
            "owner",
            "group",
            "x-systemd.automount",
            "X-kata.overlay",
            "comment=any",
        ] {
            assert_eq!(data_of(&["k=v", option]), "k=v", "{option}");
        }
        for option in ["autos", "comment", "user=me", "x", "X"] {
            assert_eq!(data_of(&[option]), option);
        }
    }

    #[test]
    fn loop_is_an_error() {
        assert!(matches!(
            parse_mount_options(&["ro", "loop"]),
            Err(Error::InvalidMountOption(option)) if option == "loop"
        ));
        assert_eq!(data_of(&["loop=/dev/loop0"]), "loop=/dev/loop0");
    }

    #[test]
    fn data_of_a_whole_page_are_too_big() {
        let fits = "x".repeat(sys::page_size() - 1);
        assert_eq!(data_of(&[&fits]), fits);
        for options in [vec!["x".to_owned() + &fits], vec![fits, String::from("y")]] {
            assert!(matches!(
                parse_mount_options(&options),
                Err(Error::MountOptionTooBig)
            ));
        }
    }

    #[test]
    fn switched_off_flags_are_known() {
        let parsed = MountOptions::parse(&["suid", "nodev", "dev", "exec", "noexec"]).unwrap();
        assert_eq!(parsed.flags, MsFlags::MS_NOEXEC);
        assert_eq!(parsed.cleared, MsFlags::MS_NOSUID | MsFlags::MS_NODEV);
    }

    proptest! {
        #[test]
        fn at_most_one_propagation_type_and_every_other_word_is_kept(
            options in proptest::collection::vec("[a-z]{0,3}=[a-z,]{0,4}|r?(shared|slave|private)|ro|rw", 0..12)
        ) {
            let (flags, data) = parse_mount_options(&options).unwrap();
            prop_assert!((flags & PROPAGATION).bits().count_ones() <= 1);
            let kept: Vec<&str> = options.iter().map(String::as_str).filter(|o| o.contains('=')).collect();
            prop_assert_eq!(data, kept.join(","));
        }
    }
}
