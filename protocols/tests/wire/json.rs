//! The JSON form of the feature `with-serde`, which the policy engine of the agent reads: it may
//! not change by a byte, apart from the order of map entries.

use protobuf::{EnumOrUnknown, Message, MessageField};
use protocols::agent::{
    CreateContainerRequest, CreateSandboxRequest, ExecProcessRequest, FSGroup, MemAgentMemcgConfig,
    OnlineCPUMemRequest, StringUser,
};
use protocols::health::HealthCheckResponse;
use protocols::health::health_check_response::ServingStatus;
use protocols::oci::linux_syscall::ErrnoRet;
use protocols::oci::{Linux, LinuxResources, LinuxSyscall, Process, Spec};
use protocols::types::{FSGroupChangePolicy, IPAddress, IPFamily, Interface};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::vectors::{Vector, vectors};

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Decodes the bytes, writes the JSON form and reads it again.
fn check<M: Message + Serialize + DeserializeOwned>(vector: &Vector) {
    let Vector {
        message,
        case,
        bytes,
        json: expected,
        ..
    } = vector;
    let decoded = M::parse_from_bytes(bytes).unwrap();
    let actual = json(&decoded);
    assert!(
        actual == *expected,
        "{message} {case}:\n{actual}\ninstead of\n{expected}"
    );
    let again: M = parse(&actual).unwrap();
    if case == "unknown" {
        // Unknown fields are dropped, unknown enum numbers are not.
        assert_eq!(json(&again), actual, "{message} {case}");
    } else {
        assert!(again == decoded, "{message} {case}");
    }
}

/// Calls [`check`] with the type of the vector's message.
macro_rules! check_as {
    ($vector:expr, $($package:literal $module:ident: $($name:ident)*;)*) => {
        match $vector.message.as_str() {
            $($(
                concat!($package, ".", stringify!($name)) => {
                    check::<protocols::$module::$name>($vector)
                }
            )*)*
            other => panic!("{other}: no such message in this test"),
        }
    };
}

#[test]
fn json_of_every_request_and_response_is_that_of_the_golden_vectors() {
    for vector in vectors() {
        check_as!(vector,
            "grpc" agent:
                AddARPNeighborsRequest AddSwapPathRequest AddSwapRequest CloseStdinRequest
                CopyFileRequest CreateContainerRequest CreateSandboxRequest DestroySandboxRequest
                ExecProcessRequest GetDiagnosticDataRequest GetDiagnosticDataResponse
                GetIPTablesRequest GetIPTablesResponse GetMetricsRequest GetOOMEventRequest
                GuestDetailsRequest GuestDetailsResponse Interfaces ListInterfacesRequest
                ListRoutesRequest MemAgentCompactConfig MemAgentMemcgConfig
                MemHotplugByProbeRequest Metrics OOMEvent OnlineCPUMemRequest
                PauseContainerRequest ReadStreamRequest ReadStreamResponse RemoveContainerRequest
                RemoveStaleVirtiofsShareMountsRequest ReseedRandomDevRequest ResizeVolumeRequest
                ResumeContainerRequest Routes SetGuestDateTimeRequest SetIPTablesRequest
                SetIPTablesResponse SetPolicyRequest SignalProcessRequest StartContainerRequest
                StatsContainerRequest StatsContainerResponse TtyWinResizeRequest
                UpdateContainerRequest UpdateEphemeralMountsRequest UpdateInterfaceRequest
                UpdateRoutesRequest VolumeStatsRequest WaitProcessRequest WaitProcessResponse
                WriteStreamRequest WriteStreamResponse;
            "api" confidential_data_hub:
                GetResourceRequest GetResourceResponse ImagePullRequest ImagePullResponse
                SecureMountRequest SecureMountResponse UnsealSecretInput UnsealSecretOutput;
            "grpc" csi: VolumeStatsResponse;
            "google.protobuf" empty: Empty;
            "grpc" health: CheckRequest HealthCheckResponse VersionCheckResponse;
            "hypervisor" remote:
                CreateVMRequest CreateVMResponse StartVMRequest StartVMResponse StopVMRequest
                StopVMResponse VersionRequest VersionResponse;
            "types" types: Interface;
        );
    }
}

#[test]
fn every_field_is_written_in_the_order_of_the_message() {
    assert_eq!(
        json(&CreateContainerRequest::new()),
        r#"{"container_id":"","exec_id":"","string_user":null,"devices":[],"storages":[],"OCI":null,"#
            .to_owned()
            + r#""sandbox_pidns":false,"shared_mounts":[],"stdin_port":0,"stdout_port":0,"stderr_port":0}"#
    );
    assert_eq!(
        json(&Interface {
            IPAddresses: vec![IPAddress {
                family: EnumOrUnknown::new(IPFamily::v6),
                address: "::1".to_owned(),
                ..Default::default()
            }],
            mtu: u64::MAX,
            type_: "veth".to_owned(),
            ..Default::default()
        }),
        r#"{"device":"","name":"","IPAddresses":[{"family":1,"address":"::1","mask":""}],"#
            .to_owned()
            + r#""mtu":18446744073709551615,"hwAddr":"","devicePath":"","type_":"veth","raw_flags":0}"#
    );
    assert_eq!(json(&protocols::empty::Empty::new()), "{}");
    // What the policy rules look at.
    assert!(json(&LinuxResources::new()).starts_with(r#"{"Devices":[],"#));
    assert!(json(&LinuxResources::new()).contains(r#""Pids":null"#));
}

#[test]
fn optional_fields_are_null_or_their_value() {
    let config = MemAgentMemcgConfig {
        disabled: Some(false),
        swap: Some(true),
        ..Default::default()
    };
    let text = json(&config);
    assert!(
        text.starts_with(r#"{"disabled":false,"swap":true,"#),
        "{text}"
    );
    assert!(text.contains(":null"), "{text}");
    assert_eq!(parse::<MemAgentMemcgConfig>(&text).unwrap(), config);
}

#[test]
fn oneof_comes_last_as_null_or_its_variant() {
    let mut syscall = LinuxSyscall {
        Action: "SCMP_ACT_ERRNO".to_owned(),
        ..Default::default()
    };
    let unset = r#"{"Names":[],"Action":"SCMP_ACT_ERRNO","Args":[],"ErrnoRet":null}"#;
    assert_eq!(json(&syscall), unset);
    assert_eq!(parse::<LinuxSyscall>(unset).unwrap(), syscall);

    syscall.ErrnoRet = Some(ErrnoRet::Errnoret(38));
    let set = r#"{"Names":[],"Action":"SCMP_ACT_ERRNO","Args":[],"ErrnoRet":{"Errnoret":38}}"#;
    assert_eq!(json(&syscall), set);
    assert_eq!(parse::<LinuxSyscall>(set).unwrap(), syscall);
}

#[test]
fn missing_keys_are_defaults_at_every_level_and_unknown_keys_are_ignored() {
    let details: protocols::agent::GuestDetailsRequest =
        parse(r#"{"mem_block_size": true}"#).unwrap();
    assert!(details.mem_block_size && !details.mem_hotplug_probe);
    assert_eq!(
        parse::<CreateSandboxRequest>("{}").unwrap(),
        CreateSandboxRequest::new()
    );

    let request: CreateContainerRequest =
        parse(r#"{"OCI": {"Linux": {"Resources": {"Pids": {}}, "news": 1}}, "news": {"a": [1]}}"#)
            .unwrap();
    let mut linux = Linux::new();
    linux.mut_Resources().mut_Pids();
    let spec = Spec {
        Linux: MessageField::some(linux),
        ..Default::default()
    };
    assert_eq!(request.OCI.as_ref(), Some(&spec));
}

#[test]
fn null_stands_for_what_can_be_absent_only() {
    let request: ExecProcessRequest = parse(r#"{"string_user": null, "process": null}"#).unwrap();
    assert_eq!(request, ExecProcessRequest::new());
    assert_eq!(
        parse::<MemAgentMemcgConfig>(r#"{"disabled": null}"#).unwrap(),
        MemAgentMemcgConfig::new()
    );
    assert!(parse::<LinuxSyscall>(r#"{"ErrnoRet": null}"#).is_ok());

    assert!(parse::<ExecProcessRequest>(r#"{"container_id": null}"#).is_err());
    assert!(parse::<ExecProcessRequest>(r#"{"stdin_port": null}"#).is_err());
    assert!(parse::<CreateContainerRequest>(r#"{"devices": null}"#).is_err());
    assert!(parse::<Spec>(r#"{"Annotations": null}"#).is_err());
    assert!(parse::<Process>(r#"{"Terminal": null}"#).is_err());
    assert!(parse::<IPAddress>(r#"{"family": null}"#).is_err());
    assert!(parse::<protocols::agent::CopyFileRequest>(r#"{"data": null}"#).is_err());
}

#[test]
fn enum_fields_are_numbers_and_are_read_from_numbers_and_names() {
    let family = |text: &str| {
        parse::<IPAddress>(&format!(r#"{{"family": {text}}}"#)).map(|address| address.family)
    };
    assert_eq!(family("1"), Ok(EnumOrUnknown::new(IPFamily::v6)));
    assert_eq!(family(r#""v6""#), Ok(EnumOrUnknown::new(IPFamily::v6)));
    assert_eq!(family(r#""v4""#), Ok(EnumOrUnknown::new(IPFamily::v4)));
    for number in [-1, 2, 97, i32::MIN, i32::MAX] {
        let read = family(&number.to_string()).unwrap();
        assert_eq!(read.value(), number);
        let text = json(&IPAddress {
            family: read,
            ..Default::default()
        });
        assert_eq!(
            text,
            format!(r#"{{"family":{number},"address":"","mask":""}}"#)
        );
    }

    for wrong in [
        r#""1""#, r#""V6""#, r#""""#, "1.0", "1.5", "true", "[1]", "{}", "null",
    ] {
        let error = family(wrong).unwrap_err();
        assert!(
            error.contains(r#"a 32-bit number or the name of a value of IPFamily: v4, v6"#),
            "{error}"
        );
    }
    for wrong in ["2147483648", "-2147483649", "18446744073709551615"] {
        let error = family(wrong).unwrap_err();
        assert!(
            error.contains(wrong) && error.contains("32-bit number"),
            "{error}"
        );
    }
}

#[test]
fn bare_enum_values_are_names() {
    assert_eq!(json(&ServingStatus::NOT_SERVING), r#""NOT_SERVING""#);
    assert_eq!(
        parse::<ServingStatus>(r#""SERVING""#).unwrap(),
        ServingStatus::SERVING
    );
    assert!(parse::<ServingStatus>("1").is_err());
}

#[test]
fn messages_survive_the_way_through_json() {
    let response = HealthCheckResponse {
        status: EnumOrUnknown::new(ServingStatus::NOT_SERVING),
        ..Default::default()
    };
    assert_eq!(json(&response), r#"{"status":2}"#);
    assert_eq!(
        parse::<HealthCheckResponse>(&json(&response)).unwrap(),
        response
    );

    let request = ExecProcessRequest {
        container_id: "c1".to_owned(),
        string_user: MessageField::some(StringUser {
            uid: "1000".to_owned(),
            additionalGids: vec!["27".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        parse::<ExecProcessRequest>(&json(&request)).unwrap(),
        request
    );
}

#[test]
fn unknown_fields_are_not_written() {
    let mut request = OnlineCPUMemRequest::new();
    request
        .special_fields
        .mut_unknown_fields()
        .add_varint(2001, 1);
    assert_eq!(
        json(&request),
        r#"{"wait":false,"nb_cpus":0,"cpu_only":false}"#
    );
    assert_eq!(
        parse::<OnlineCPUMemRequest>(r#"{"special_fields": {}, "nb_cpus": 2}"#)
            .unwrap()
            .nb_cpus,
        2
    );
}

#[test]
fn bytes_are_arrays_of_numbers() {
    let text = r#"{"data":[0,255]}"#;
    let request: protocols::agent::SetIPTablesRequest = parse(text).unwrap();
    assert_eq!(request.data, [0, 255]);
    assert!(json(&request).contains(r#""data":[0,255]"#));
    assert!(parse::<protocols::agent::SetIPTablesRequest>(r#"{"data":[256]}"#).is_err());
    assert!(parse::<protocols::agent::SetIPTablesRequest>(r#"{"data":"AP8="}"#).is_err());
}

/// The attributes that generated fields carry, on the kinds of enum fields that no message has yet.
#[derive(Debug, Default, PartialEq, Serialize, serde::Deserialize)]
#[serde(default)]
struct EnumFields {
    #[serde(
        serialize_with = "protocols::serialize_optional_enum",
        deserialize_with = "protocols::deserialize_optional_enum"
    )]
    optional: Option<EnumOrUnknown<IPFamily>>,
    #[serde(
        serialize_with = "protocols::serialize_repeated_enum",
        deserialize_with = "protocols::deserialize_repeated_enum"
    )]
    repeated: Vec<EnumOrUnknown<FSGroupChangePolicy>>,
}

#[test]
fn optional_and_repeated_enums_have_a_form() {
    let fields: EnumFields = parse(r#"{"optional": "v6", "repeated": [1, "Always", 97]}"#).unwrap();
    assert_eq!(json(&fields), r#"{"optional":1,"repeated":[1,0,97]}"#);
    assert_eq!(
        json(&EnumFields::default()),
        r#"{"optional":null,"repeated":[]}"#
    );
    assert_eq!(
        parse::<EnumFields>(r#"{"optional": null}"#).unwrap(),
        EnumFields::default()
    );
    assert!(parse::<EnumFields>(r#"{"repeated": null}"#).is_err());
    assert!(parse::<EnumFields>(r#"{"repeated": ["1"]}"#).is_err());
}

#[test]
fn formats_that_are_not_human_readable_have_numbers_only() {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, I32Deserializer, StrDeserializer};

    let number: I32Deserializer<Error> = 1_i32.into_deserializer();
    let value = protocols::deserialize_enum_or_unknown::<IPFamily, _>(Binary(number)).unwrap();
    assert_eq!(value, EnumOrUnknown::new(IPFamily::v6));
    let name: StrDeserializer<'_, Error> = "v6".into_deserializer();
    assert!(protocols::deserialize_enum_or_unknown::<IPFamily, _>(Binary(name)).is_err());
}

/// A deserializer that says of itself that it is not human-readable.
struct Binary<D>(D);

impl<'de, D: serde::Deserializer<'de>> serde::Deserializer<'de> for Binary<D> {
    type Error = D::Error;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

#[test]
fn fs_group_of_hand_written_json_takes_a_name() {
    let group: FSGroup =
        parse(r#"{"group_id": 5, "group_change_policy": "OnRootMismatch"}"#).unwrap();
    assert_eq!(json(&group), r#"{"group_id":5,"group_change_policy":1}"#);
}
