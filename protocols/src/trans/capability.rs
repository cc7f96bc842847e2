//! Capability sets and the spellings of capability names.

use std::collections::HashSet;

use super::{
    ConvertError, FromProto, IntoProto, blank, conversions,
    error::{Locate, OutOfRange},
    grpc,
    lossy::Losses,
    oci, rules,
};

conversions! {
    /// Names are without `CAP_` (`NET_ADMIN`) and in ascending byte order, so that the same
    /// specification always gives the same bytes. A set that is `None` gives an empty list.
    (oci::LinuxCapabilities) -> (grpc::LinuxCapabilities) by reference;

    /// All five sets become `Some`. A name may have one `CAP_` before it and may be in JSON quotes
    /// (`"CAP_MKNOD"`, quotes included); letter case counts. Duplicates collapse.
    ///
    /// # Panics
    ///
    /// On a name that is not a capability. [`TryFromProto`](crate::trans::TryFromProto) returns an
    /// error instead.
    <-;
}

impl IntoProto for &oci::LinuxCapabilities {
    type Proto = grpc::LinuxCapabilities;

    fn into_proto<L: Losses>(self, _: &mut L) -> Self::Proto {
        grpc::LinuxCapabilities {
            Bounding: to_names(self.bounding()),
            Effective: to_names(self.effective()),
            Inheritable: to_names(self.inheritable()),
            Permitted: to_names(self.permitted()),
            Ambient: to_names(self.ambient()),
            ..Default::default()
        }
    }
}

fn to_names(set: &Option<oci::Capabilities>) -> Vec<String> {
    let mut names = rules::to_names(set.as_ref());
    // D12: the order of a set is another one in every process.
    names.sort_unstable();
    names
}

impl FromProto<grpc::LinuxCapabilities> for oci::LinuxCapabilities {
    fn from_proto(proto: grpc::LinuxCapabilities, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut capabilities = blank::capabilities();
        capabilities
            .set_bounding(from_names(proto.Bounding, "Bounding")?)
            .set_effective(from_names(proto.Effective, "Effective")?)
            .set_inheritable(from_names(proto.Inheritable, "Inheritable")?)
            .set_permitted(from_names(proto.Permitted, "Permitted")?)
            .set_ambient(from_names(proto.Ambient, "Ambient")?);
        Ok(capabilities)
    }
}

fn from_names(
    names: Vec<String>,
    field: &'static str,
) -> Result<Option<oci::Capabilities>, ConvertError> {
    /// No more capabilities fit the kernel's sets; a longer list has duplicates.
    const MOST: usize = 64;
    let mut set = HashSet::with_capacity(names.len().min(MOST));
    for (index, name) in names.into_iter().enumerate() {
        let capability = parse(&name)
            .ok_or_else(|| ConvertError::name(name, "Capability"))
            .at_index(index)
            .at(field)?;
        set.insert(capability);
    }
    Ok(Some(set))
}

fn parse(name: &str) -> Option<oci::Capability> {
    parse_bare(name).or_else(|| {
        let unquoted: String = serde_json::from_str(name).ok()?;
        parse_bare(&unquoted)
    })
}

fn parse_bare(name: &str) -> Option<oci::Capability> {
    name.strip_prefix("CAP_").unwrap_or(name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::TryFromProto;
    use oci::Capability::{BlockSuspend, Kill, Mknod, NetAdmin, Syslog};

    fn bounding(names: &[&str]) -> grpc::LinuxCapabilities {
        grpc::LinuxCapabilities {
            Bounding: names.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn accepted_spellings() {
        for name in [
            "MKNOD",
            "CAP_MKNOD",
            "\"MKNOD\"",
            "\"CAP_MKNOD\"",
            " \"CAP_MKNOD\" ",
            "\"\\u0043AP_MKNOD\"",
        ] {
            let set = oci::LinuxCapabilities::from(bounding(&[name]));
            assert_eq!(set.bounding(), &Some([Mknod].into()), "{name}");
        }
    }

    #[test]
    fn refused_spellings() {
        for name in [
            "",
            "CAP_",
            "mknod",
            "CAP_mknod",
            "cap_MKNOD",
            "CAP_CAP_MKNOD",
            " MKNOD",
            "MKNOD\0",
            "\"MKNOD",
            "\"\"",
            "\"\\\"MKNOD\\\"\"",
            "'MKNOD'",
            "[\"MKNOD\"]",
            "CAP_DOES_NOT_EXIST",
        ] {
            let error =
                oci::LinuxCapabilities::try_from_proto(bounding(&["KILL", name])).expect_err(name);
            assert_eq!(error.path(), "Bounding[1]");
            assert_eq!((error.value(), error.expected()), (name, "Capability"));
        }
    }

    #[test]
    #[should_panic(expected = "Failed to parse \"CAP_DOES_NOT_EXIST\" to Enum Capability")]
    fn unknown_name_panics_in_the_infallible_form() {
        let _ = oci::LinuxCapabilities::from(bounding(&["CAP_DOES_NOT_EXIST"]));
    }

    #[test]
    fn duplicates_collapse_and_every_set_is_some() {
        let proto = grpc::LinuxCapabilities {
            Bounding: vec!["KILL".into(), "CAP_KILL".into(), "\"KILL\"".into()],
            Effective: vec!["KILL".into(), "SYSLOG".into()],
            Inheritable: vec!["MKNOD".into()],
            Permitted: vec!["BLOCK_SUSPEND".into()],
            ..Default::default()
        };
        let set = oci::LinuxCapabilities::from(proto);
        assert_eq!(set.bounding(), &Some([Kill].into()));
        assert_eq!(set.effective(), &Some([Kill, Syslog].into()));
        assert_eq!(set.inheritable(), &Some([Mknod].into()));
        assert_eq!(set.permitted(), &Some([BlockSuspend].into()));
        assert_eq!(set.ambient(), &Some([].into()));
    }

    /// D12: `HashSet` iterates in another order in every process.
    #[test]
    fn names_are_sorted_and_bare() {
        let mut set = blank::capabilities();
        set.set_bounding(Some([Syslog, NetAdmin, Kill, BlockSuspend, Mknod].into()))
            .set_ambient(Some([].into()))
            .set_permitted(Some([Mknod].into()));
        let proto = grpc::LinuxCapabilities::from(set);
        assert_eq!(
            proto.Bounding,
            ["BLOCK_SUSPEND", "KILL", "MKNOD", "NET_ADMIN", "SYSLOG"]
        );
        assert_eq!(proto.Permitted, ["MKNOD"]);
        for empty in [proto.Effective, proto.Inheritable, proto.Ambient] {
            assert!(empty.is_empty());
        }
    }
}
