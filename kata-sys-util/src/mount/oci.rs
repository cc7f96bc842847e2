//! Reading a mount of an OCI bundle
//! ([`config.md`, *Mounts*](https://github.com/opencontainers/runtime-spec/blob/main/config.md#mounts)).

use std::path::PathBuf;

use oci_spec::runtime::Mount;

/// The path as text, empty if there is none. Bytes that are no UTF-8 are replaced.
///
/// ```
/// use kata_sys_util::mount::get_mount_path;
///
/// assert_eq!(get_mount_path(&Some("/srv".into())), "/srv");
/// assert_eq!(get_mount_path(&None), "");
/// ```
pub fn get_mount_path(p: &Option<PathBuf>) -> String {
    p.as_ref()
        .map(|path| path.display().to_string())
        .unwrap_or_default()
}

/// The options, none if there is no list.
///
/// ```
/// use kata_sys_util::mount::get_mount_options;
///
/// assert_eq!(get_mount_options(&Some(vec!["ro".to_owned()])), ["ro"]);
/// assert!(get_mount_options(&None).is_empty());
/// ```
pub fn get_mount_options(options: &Option<Vec<String>>) -> Vec<String> {
    options.clone().unwrap_or_default()
}

/// The file system type of a mount; `bind` if it has none, and if it is `none` with the option
/// `bind` or `rbind`, as `fstab(5)` writes a bind mount.
///
/// ```
/// use kata_sys_util::mount::get_mount_type;
/// use oci_spec::runtime::MountBuilder;
///
/// let mount = MountBuilder::default()
///     .destination("/data")
///     .typ("none")
///     .options(vec!["rbind".to_owned(), "ro".to_owned()])
///     .build()?;
/// assert_eq!(get_mount_type(&mount), "bind");
/// # Ok::<(), oci_spec::OciSpecError>(())
/// ```
pub fn get_mount_type(m: &Mount) -> String {
    let Some(fs_type) = m.typ() else {
        return "bind".to_owned();
    };
    let is_bind = |options: &Vec<String>| options.iter().any(|o| o == "bind" || o == "rbind");
    if fs_type == "none" && m.options().as_ref().is_some_and(is_bind) {
        return "bind".to_owned();
    }
    fs_type.clone()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn mount(fs_type: Option<&str>, options: Option<&[&str]>) -> Mount {
        let mut mount = Mount::default();
        mount.set_typ(fs_type.map(str::to_owned));
        mount.set_options(options.map(|o| o.iter().map(|o| (*o).to_owned()).collect()));
        mount
    }

    #[test]
    fn type_of_a_mount() {
        type Case = (
            Option<&'static str>,
            Option<&'static [&'static str]>,
            &'static str,
        );
        let cases: [Case; 9] = [
            (None, None, "bind"),
            (None, Some(&["ro"]), "bind"),
            (Some("none"), Some(&["ro", "bind"]), "bind"),
            (Some("none"), Some(&["rbind"]), "bind"),
            (Some("none"), Some(&["rbinds", "Bind"]), "none"),
            (Some("none"), None, "none"),
            (Some("tmpfs"), Some(&["bind"]), "tmpfs"),
            (Some("NONE"), Some(&["bind"]), "NONE"),
            (Some(""), Some(&["bind"]), ""),
        ];
        for (fs_type, options, expected) in cases {
            let mount = mount(fs_type, options);
            assert_eq!(get_mount_type(&mount), expected, "{fs_type:?} {options:?}");
        }
    }

    #[test]
    fn path_that_is_no_utf8_is_shown_as_far_as_it_goes() {
        let path = PathBuf::from(OsString::from_vec(b"/a\xffb".to_vec()));
        assert_eq!(get_mount_path(&Some(path)), "/a\u{fffd}b");
    }
}
