//! Memory that the JSON of messages of any content can make its readers take.

#![cfg(feature = "with-serde")]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use protobuf::MessageFull;
use protobuf::reflect::{
    FieldDescriptor, FileDescriptor, MessageDescriptor, ReflectFieldRef, RuntimeFieldType,
    RuntimeType,
};
use protocols::agent::{CreateContainerRequest, CreateSandboxRequest};
use protocols::{
    agent, api, confidential_data_hub, csi, empty, health, oci, remote, runtimeoptions, types,
};
use serde::de::DeserializeOwned;
use test_utils::allocation::{CountingAllocator, allocated_by};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const LARGE: usize = 64 << 20;
const DEEP: usize = 100_000;
const CONSTANT: usize = 64 << 10;

/// How many times its size a text may take that consists of the smallest elements.
const MOST: usize = 256;

/// Just above a power of two, where a vector has just doubled its room.
const FEW: usize = (1 << 9) + 1;
/// Just above the load of a hash table that has just doubled its buckets.
const FEW_ENTRIES: usize = 7 * (1 << 6) + 1;

/// Reads a text; tells the most bytes that were in use, and how long this list then is.
type Read = fn(&str, &FieldDescriptor) -> (usize, usize);

fn read<M: MessageFull + DeserializeOwned>(json: &str, list: &FieldDescriptor) -> (usize, usize) {
    let (message, allocated) = allocated_by(|| serde_json::from_str::<M>(json).unwrap());
    let length = match list.get_reflect(&message) {
        ReflectFieldRef::Repeated(list) => list.len(),
        ReflectFieldRef::Map(map) => map.len(),
        ReflectFieldRef::Optional(_) => panic!("{list} is no list"),
    };
    (allocated.peak, length)
}

/// The readers of messages, with their descriptors.
macro_rules! readers {
    ($($module:ident: $($message:ident)+;)+) => {
        vec![$($(
            ($module::$message::descriptor(), read::<$module::$message> as Read),
        )+)+]
    };
}

/// All messages that have lists or maps.
fn readers() -> Vec<(MessageDescriptor, Read)> {
    readers! {
        agent: CreateSandboxRequest KernelModule CreateContainerRequest StringUser Device Storage
            StatsContainerResponse CgroupStats CpuUsage MemoryStats BlkioStats
            UpdateEphemeralMountsRequest Interfaces Routes ARPNeighbors MemHotplugByProbeRequest
            AddSwapRequest AgentDetails;
        api: StatusResponse RuntimeStatus PodSandboxConfig DNSConfig LinuxPodSandboxConfig
            LinuxSandboxSecurityContext UserNamespace PodSandboxStatusResponse PodSandboxStatus
            PodSandboxNetworkStatus ListPodSandboxResponse PodSandboxFilter PodSandbox
            UpdateContainerResourcesRequest ContainerConfig Mount LinuxContainerResources
            LinuxContainerSecurityContext Capability ContainerStatusResponse ContainerStatus
            LinuxContainerUser ListContainersResponse ContainerFilter Container ExecSyncRequest
            ExecRequest PortForwardRequest ImageSpec ListImagesResponse Image ImageStatusResponse
            ImageFsInfoResponse ListPodSandboxStatsResponse PodSandboxStatsFilter
            PodSandboxAttributes LinuxPodSandboxStats WindowsPodSandboxStats
            ListContainerStatsResponse ContainerStatsFilter ContainerAttributes NetworkUsage
            WindowsNetworkUsage ContainerEventResponse ListMetricDescriptorsResponse
            MetricDescriptor ListPodSandboxMetricsResponse PodSandboxMetrics ContainerMetrics
            Metric;
        confidential_data_hub: SecureMountRequest;
        csi: VolumeStatsResponse;
        oci: Spec Mount Process User LinuxCapabilities Hooks Hook Linux LinuxResources LinuxBlockIO
            LinuxNetwork LinuxSeccomp LinuxSyscall;
        remote: CreateVMRequest;
        types: Interface;
    }
}

/// An element has three bytes in a list, and in memory is a structure of up to 344 bytes, twice that
/// in a vector that has just grown. `serde` tells no vector how long it will be.
#[test]
fn no_list_takes_more_than_256_times_its_text() {
    let mut worst = (0, String::new());
    let mut lists = 0;
    for (message, read) in readers() {
        for list in message.fields().filter(FieldDescriptor::is_repeated_or_map) {
            lists += 1;
            for (few, text) in smallest(&list) {
                let json = format!(r#"{{"{}":{text}}}"#, list.name());
                let (peak, length) = read(&json, &list);
                let what = format!("{list}: {peak} bytes for {}", json.len());
                assert_eq!(length, few, "{what}");
                let factor = peak / json.len();
                assert!(factor <= MOST, "{what}");
                worst = worst.max((factor, what));
            }
        }
    }
    println!("{worst:?}");
    assert!(worst.0 > MOST / 2, "{worst:?}");
    assert_eq!(lists, lists_of_all_messages());
}

/// The number of lists and maps of all messages.
fn lists_of_all_messages() -> usize {
    let files = [
        agent::file_descriptor(),
        api::file_descriptor(),
        confidential_data_hub::file_descriptor(),
        csi::file_descriptor(),
        empty::file_descriptor(),
        health::file_descriptor(),
        oci::file_descriptor(),
        remote::file_descriptor(),
        runtimeoptions::file_descriptor(),
        types::file_descriptor(),
    ];
    let lists = |message: MessageDescriptor| {
        let fields = message.fields();
        fields.filter(FieldDescriptor::is_repeated_or_map).count()
    };
    files
        .into_iter()
        .flat_map(FileDescriptor::messages)
        .map(lists)
        .sum()
}

/// JSON of few of the smallest elements of this list or map, in each form that has little text and
/// much in memory.
fn smallest(list: &FieldDescriptor) -> Vec<(usize, String)> {
    let list_of = |element: &str| {
        let elements = vec![element; FEW].join(",");
        (FEW, format!("[{elements}]"))
    };
    let text = |value: &RuntimeType| match value {
        RuntimeType::Message(_) => "{}",
        RuntimeType::String => r#""""#,
        RuntimeType::VecU8 => "[]",
        RuntimeType::Bool => "true",
        _ => "0",
    };
    match list.runtime_field_type() {
        RuntimeFieldType::Map(_, value) => {
            let entry = |n| format!(r#""{n:x}":{}"#, text(&value));
            let entries: Vec<String> = (0..FEW_ENTRIES).map(entry).collect();
            vec![(FEW_ENTRIES, format!("{{{}}}", entries.join(",")))]
        }
        RuntimeFieldType::Repeated(RuntimeType::Message(message)) => {
            let mut lists = vec![list_of("{}")];
            for field in message.fields() {
                let inside = match field.runtime_field_type() {
                    RuntimeFieldType::Singular(RuntimeType::Message(_)) => "{}",
                    RuntimeFieldType::Repeated(RuntimeType::Message(_)) => "[{}]",
                    RuntimeFieldType::Repeated(RuntimeType::String) => r#"[""]"#,
                    RuntimeFieldType::Map(_, value) => match text(&value) {
                        "{}" => r#"{"":{}}"#,
                        _ => r#"{"":""}"#,
                    },
                    _ => continue,
                };
                lists.push(list_of(&format!(r#"{{"{}":{inside}}}"#, field.name())));
            }
            lists
        }
        RuntimeFieldType::Repeated(value) => vec![list_of(text(&value))],
        RuntimeFieldType::Singular(_) => panic!("{list} is no list"),
    }
}

/// Reads a text as either request, and checks that it took at most eight times its size.
fn check(what: &str, json: &str) {
    let limit = 8 * json.len() + CONSTANT;
    let (_, allocated) =
        allocated_by(|| serde_json::from_str::<CreateContainerRequest>(json).is_ok());
    assert!(allocated.peak <= limit, "{what}: {allocated:?}");
    let (_, allocated) =
        allocated_by(|| serde_json::from_str::<CreateSandboxRequest>(json).is_ok());
    assert!(allocated.peak <= limit, "{what}: {allocated:?}");
}

#[test]
fn large_text_takes_at_most_eight_times_its_size() {
    let long = "x".repeat(LARGE);
    check("text", &format!(r#"{{"container_id":"{long}"}}"#));
    check("no JSON", &long);
    check("unknown", &format!(r#"{{"unknown":"{long}"}}"#));
    let hard = 1 << 20;
    for (what, json) in [
        (
            "escapes",
            format!(r#"{{"container_id":"{}"}}"#, r"\u0001".repeat(hard / 6)),
        ),
        ("blanks", format!("{{{}}}", " ".repeat(hard))),
        (
            "unknown list",
            format!(r#"{{"unknown":[{}{{}}]}}"#, "{},".repeat(hard / 3)),
        ),
        (
            "numbers",
            format!(
                r#"{{"OCI":{{"Process":{{"User":{{"AdditionalGids":[{}0]}}}}}}}}"#,
                "0,".repeat(1 << 19)
            ),
        ),
        (
            "storages as they are",
            format!(
                r#"{{"storages":[{}{{}}]}}"#,
                r#"{"driver":"blk","driver_options":[],"source":"/dev/vda","fstype":"ext4","options":["ro"],"mount_point":"/run/kata-containers/0123456789abcdef/rootfs","fs_group":null,"shared":false},"#
                    .repeat((1 << 10) + 1)
            ),
        ),
    ] {
        check(what, &json);
    }
}

/// An error of `serde` quotes a text that stands where something else belongs, whole.
#[test]
fn text_of_the_wrong_type_takes_at_most_24_times_its_size() {
    // Quoted, each has six bytes; and a buffer of them has just been doubled.
    let long = "\u{7f}".repeat((1 << 22) / 6 + 1);
    let mut worst = 0;
    for (what, member) in [
        ("number", r#""OCI":{"Process":{"OOMScoreAdj":@}}"#),
        ("truth", r#""OCI":{"Process":{"Terminal":@}}"#),
        ("list", r#""storages":@"#),
        ("map", r#""OCI":{"Annotations":@}"#),
        ("message", r#""OCI":@"#),
        ("bytes", r#""string_user":{"additionalGids":@}"#),
    ] {
        let json = format!("{{{}}}", member.replace('@', &format!(r#""{long}""#)));
        let (is_read, allocated) =
            allocated_by(|| serde_json::from_str::<CreateContainerRequest>(&json).is_ok());
        assert!(!is_read, "{what}");
        let limit = 24 * json.len();
        assert!(allocated.peak <= limit, "{what}: {allocated:?}");
        worst = worst.max(allocated.peak / json.len());
    }
    assert!(worst > 8, "{worst}: say so in README.md and SECURITY.md");
    // The name of a value is our own.
    let json = format!(r#"{{"family":"{long}"}}"#);
    let (error, allocated) =
        allocated_by(|| serde_json::from_str::<types::IPAddress>(&json).unwrap_err());
    assert!(allocated.peak <= CONSTANT, "{allocated:?}");
    assert!(error.to_string().len() < 1000, "{error}");
}

#[test]
fn deep_text_is_refused_or_skipped() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"{"OCI":"#, "}")] {
        for member in ["unknown", "container_id", "OCI", "storages", "devices"] {
            let (open, close) = (open.repeat(DEEP), close.repeat(DEEP));
            check(member, &format!(r#"{{"{member}":{open}1{close}}}"#));
            check(member, &format!(r#"{{"{member}":{open}"#));
        }
    }
}
