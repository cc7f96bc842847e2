//! All pairs of types convert in every way of the contract.

use oci_spec::runtime as oci;
use protobuf::MessageField;
use protocols::{
    oci as grpc,
    trans::{ConvertError, LossReason, Lossy, TryFromProto, from_option, from_option_vec},
};

fn pair<O, P>()
where
    P: From<O>,
    O: From<P> + TryFromProto<P>,
{
}

#[test]
fn twenty_nine_pairs_convert_both_ways() {
    let pairs: [fn(); 29] = [
        pair::<oci::Box, grpc::Box>,
        pair::<oci::User, grpc::User>,
        pair::<oci::LinuxCapabilities, grpc::LinuxCapabilities>,
        pair::<oci::PosixRlimit, grpc::POSIXRlimit>,
        pair::<oci::Process, grpc::Process>,
        pair::<oci::LinuxDeviceCgroup, grpc::LinuxDeviceCgroup>,
        pair::<oci::LinuxMemory, grpc::LinuxMemory>,
        pair::<oci::LinuxCpu, grpc::LinuxCPU>,
        pair::<oci::LinuxPids, grpc::LinuxPids>,
        pair::<oci::LinuxWeightDevice, grpc::LinuxWeightDevice>,
        pair::<oci::LinuxThrottleDevice, grpc::LinuxThrottleDevice>,
        pair::<oci::LinuxBlockIo, grpc::LinuxBlockIO>,
        pair::<oci::LinuxHugepageLimit, grpc::LinuxHugepageLimit>,
        pair::<oci::LinuxInterfacePriority, grpc::LinuxInterfacePriority>,
        pair::<oci::LinuxNetwork, grpc::LinuxNetwork>,
        pair::<oci::LinuxResources, grpc::LinuxResources>,
        pair::<oci::Root, grpc::Root>,
        pair::<oci::Mount, grpc::Mount>,
        pair::<oci::Hook, grpc::Hook>,
        pair::<oci::Hooks, grpc::Hooks>,
        pair::<oci::LinuxIdMapping, grpc::LinuxIDMapping>,
        pair::<oci::LinuxNamespace, grpc::LinuxNamespace>,
        pair::<oci::LinuxDevice, grpc::LinuxDevice>,
        pair::<oci::LinuxSeccompArg, grpc::LinuxSeccompArg>,
        pair::<oci::LinuxSyscall, grpc::LinuxSyscall>,
        pair::<oci::LinuxSeccomp, grpc::LinuxSeccomp>,
        pair::<oci::Linux, grpc::Linux>,
        pair::<oci::LinuxIntelRdt, grpc::LinuxIntelRdt>,
        pair::<oci::Spec, grpc::Spec>,
    ];
    for pair in pairs {
        pair();
    }
}

#[test]
fn option_conversions_follow_user_defined_impls() {
    #[derive(Clone, Debug, PartialEq, Default)]
    struct Doubled(u8);
    impl From<u8> for Doubled {
        fn from(number: u8) -> Self {
            Self(number * 2)
        }
    }
    assert_eq!(from_option(Some(4)), MessageField::some(Doubled(8)));
    assert_eq!(from_option::<u8, Doubled>(None), MessageField::none());
    let list: Vec<Doubled> = from_option_vec(Some(vec![1, 2, 3]));
    assert_eq!(list, [Doubled(2), Doubled(4), Doubled(6)]);
    assert!(from_option_vec::<u8, Doubled>(Some(vec![])).is_empty());
    assert!(from_option_vec::<u8, Doubled>(None).is_empty());
}

#[test]
fn error_and_loss_types_are_plain_data() {
    fn error<T: std::error::Error + Send + Sync + 'static>() {}
    fn data<T: Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static>() {}
    error::<ConvertError>();
    data::<ConvertError>();
    data::<Lossy>();
    data::<LossReason>();
}

/// What the agent does with a request's specification.
#[test]
fn errors_go_through_the_question_mark() {
    fn serve(spec: grpc::Spec) -> Result<oci::Spec, Box<dyn std::error::Error + Send + Sync>> {
        Ok(oci::Spec::try_from_proto(spec)?)
    }
    let mut spec = grpc::Spec::new();
    assert!(serve(spec.clone()).is_ok());
    spec.mut_Linux().Namespaces = vec![grpc::LinuxNamespace::new()];
    assert_eq!(
        serve(spec).unwrap_err().to_string(),
        r#"Linux.Namespaces[0].Type: Failed to parse "" to Enum LinuxNamespaceType"#
    );
}
