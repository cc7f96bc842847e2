//! The root file system and the mounts.

use super::{
    ConvertError, FromProto, IntoProto, blank, conversions,
    error::OutOfRange,
    grpc,
    lossy::Losses,
    oci,
    rules::{copy_path, non_empty, path, take_optional_path, take_path, text},
};

conversions! {
    /// `readonly` = `None` gives `false`. A path that is not UTF-8 is changed.
    (oci::Root) -> (grpc::Root) by reference;

    /// `path` is what was sent, also if empty; `readonly` is always `Some`.
    <-;
}

impl IntoProto for &oci::Root {
    type Proto = grpc::Root;

    fn into_proto<L: Losses>(self, losses: &mut L) -> Self::Proto {
        grpc::Root {
            Path: copy_path(self.path(), "path", losses),
            Readonly: self.readonly().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Root> for oci::Root {
    fn from_proto(proto: grpc::Root, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut root = blank::root();
        root.set_path(proto.Path.into())
            .set_readonly(Some(proto.Readonly));
        Ok(root)
    }
}

conversions! {
    /// `None` gives an empty text or list. A path that is not UTF-8 is changed.
    (oci::Mount) -> (grpc::Mount) by value;

    /// `destination` is what was sent, also if empty; other empty fields become `None`.
    <-;
}

impl IntoProto for oci::Mount {
    type Proto = grpc::Mount;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        grpc::Mount {
            destination: take_path(self.destination_mut(), "destination", losses),
            source: take_optional_path(self.source_mut(), "source", losses),
            type_: self.typ_mut().take().unwrap_or_default(),
            options: self.options_mut().take().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Mount> for oci::Mount {
    fn from_proto(proto: grpc::Mount, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut mount = Self::default();
        mount
            .set_destination(proto.destination.into())
            .set_source(path(proto.source))
            .set_typ(text(proto.type_))
            .set_options(non_empty(proto.options));
        Ok(mount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, to_proto};
    use serde_json::json;
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};

    #[test]
    fn root() {
        both::<oci::Root, _>(
            json!({"path": "/r", "readonly": true}),
            grpc::Root {
                Path: "/r".into(),
                Readonly: true,
                ..Default::default()
            },
        );
        to_proto::<oci::Root, _>(json!({}), grpc::Root::new());
        from_proto::<oci::Root, _>(grpc::Root::new(), json!({"path": "", "readonly": false}));
    }

    #[test]
    fn mount() {
        both::<oci::Mount, _>(
            json!({"destination": "/d", "source": "/s", "type": "bind", "options": ["ro", ""]}),
            grpc::Mount {
                destination: "/d".into(),
                source: "/s".into(),
                type_: "bind".into(),
                options: vec!["ro".into(), String::new()],
                ..Default::default()
            },
        );
        both::<oci::Mount, _>(json!({"destination": ""}), grpc::Mount::new());
        to_proto::<oci::Mount, _>(
            json!({"destination": "", "source": "", "type": "", "options": []}),
            grpc::Mount::new(),
        );
    }

    #[test]
    fn list_conversion_keeps_length_and_order() {
        let mounts = oci::get_default_mounts();
        let protos: Vec<grpc::Mount> = crate::trans::from_option_vec(Some(mounts.clone()));
        let back: Vec<oci::Mount> = crate::trans::from_option_vec(Some(protos));
        assert_eq!(back, mounts);
        let none: Vec<oci::Mount> = crate::trans::from_option_vec(Some(Vec::<grpc::Mount>::new()));
        assert!(none.is_empty());
    }

    /// D11
    #[test]
    fn bytes_that_are_not_utf8_become_replacement_characters() {
        let path = || std::path::PathBuf::from(OsString::from_vec(b"/a\xFF\xFEb".to_vec()));
        let mut root = blank::root();
        root.set_path(path());
        assert_eq!(grpc::Root::from(root).Path, "/a\u{FFFD}\u{FFFD}b");
        let mut mount = oci::Mount::default();
        mount.set_destination(path()).set_source(Some(path()));
        let mount = grpc::Mount::from(mount);
        assert_eq!(mount.destination, "/a\u{FFFD}\u{FFFD}b");
        assert_eq!(mount.source, "/a\u{FFFD}\u{FFFD}b");
    }
}
