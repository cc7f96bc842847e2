//! An OCI specification on its way from a runtime to an agent: converted, sent, converted back.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use oci_spec::runtime::Spec;
use protobuf::MessageField;
use protocols::agent::CreateContainerRequest;
use protocols::agent_ttrpc_async::{AgentService, AgentServiceClient, create_agent_service};
use protocols::empty::Empty;
use protocols::oci;
use serde_json::{Value, json};
use ttrpc::r#async::Client;
use ttrpc::asynchronous::TtrpcContext;

use crate::harness::{Socket, patient, start_async};

/// Keeps the request as it arrived, and its specification converted.
#[derive(Default)]
struct Agent(Mutex<Option<(CreateContainerRequest, Spec)>>);

#[async_trait]
impl AgentService for Agent {
    async fn create_container(
        &self,
        _: &TtrpcContext,
        request: CreateContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let spec = Spec::from(request.OCI().clone());
        *self.0.lock().unwrap() = Some((request, spec));
        Ok(Empty::new())
    }
}

/// Sends `spec` to an agent and returns it as the agent sees it.
async fn as_the_agent_sees(spec: &Spec) -> Spec {
    let socket = Socket::new();
    let agent = Arc::new(Agent::default());
    let _server = start_async(&socket.address(), |server| {
        server.register_service(create_agent_service(agent.clone()))
    })
    .await;
    let request = CreateContainerRequest {
        container_id: "c1".to_owned(),
        OCI: MessageField::some(oci::Spec::from(spec.clone())),
        ..Default::default()
    };
    let client = AgentServiceClient::new(Client::connect(&socket.address()).unwrap());
    client.create_container(patient(), &request).await.unwrap();
    let (arrived, spec) = agent.0.lock().unwrap().take().unwrap();
    assert_eq!(arrived, request);
    spec
}

fn spec(value: Value) -> Spec {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn specification_with_what_the_wire_carries_arrives_unchanged() {
    let sent = spec(json!({
        "ociVersion": "1.2.0",
        "hostname": "web-0",
        "annotations": {"io.kubernetes.cri.container-type": "container"},
        "root": {"path": "/run/kata/rootfs", "readonly": true},
        "mounts": [{
            "destination": "/proc", "type": "proc", "source": "proc",
            "options": ["nosuid", "noexec", "nodev"],
        }],
        "process": {
            "terminal": true,
            "consoleSize": {"height": 25, "width": 80},
            "user": {"uid": 1000, "gid": 1000, "additionalGids": [27], "username": "web"},
            "args": ["nginx", "-g", "daemon off;"],
            "env": ["PATH=/bin", "LANG=C.UTF-8"],
            "cwd": "/srv/é世",
            "capabilities": {
                "bounding": ["CAP_KILL", "CAP_NET_BIND_SERVICE"], "effective": ["CAP_KILL"],
                "inheritable": [], "permitted": ["CAP_KILL"], "ambient": [],
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 1024}],
            "noNewPrivileges": true,
            "apparmorProfile": "docker-default",
            "selinuxLabel": "system_u:system_r:container_t",
            "oomScoreAdj": -997,
        },
        "hooks": {
            "startContainer": [{"path": "/bin/hook", "args": ["hook", "start"], "timeout": 5}],
            "poststart": [{"path": "/bin/started"}],
            "poststop": [{"path": "/bin/stopped"}],
        },
        "linux": {
            "uidMappings": [{"hostID": 1000, "containerID": 0, "size": 10}],
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "cgroupsPath": "/kubepods/pod1/c1",
            "namespaces": [{"type": "pid"}, {"type": "network", "path": "/run/netns/n"}],
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "rootfsPropagation": "rslave",
            "mountLabel": "label",
            "devices": [{
                "path": "/dev/vfio/1", "type": "c", "major": 240, "minor": 1,
                "fileMode": 384, "uid": 0, "gid": 0,
            }],
            "resources": {
                "devices": [{
                    "allow": true, "type": "c", "major": 240, "minor": 1, "access": "rwm",
                }],
                "memory": {"limit": 1048576, "swap": 2097152, "disableOOMKiller": false},
                "cpu": {"shares": 1024, "quota": -1, "period": 100000, "cpus": "0-1"},
                "pids": {"limit": 100},
                "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64"],
                "flags": ["SECCOMP_FILTER_FLAG_LOG"],
                "syscalls": [
                    {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
                    {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                    {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "args": [{
                        "index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ",
                    }]},
                ],
            },
        },
    }));
    assert_eq!(as_the_agent_sees(&sent).await, sent);
}

#[tokio::test]
async fn what_is_absent_is_no_sample_of_the_library() {
    let mut sent = Spec::default();
    sent.set_process(None)
        .set_root(None)
        .set_linux(None)
        .set_mounts(None)
        .set_hostname(None)
        .set_annotations(None);
    let seen = as_the_agent_sees(&sent).await;
    assert_eq!(
        (seen.process(), seen.root(), seen.linux()),
        (&None, &None, &None)
    );
    assert_eq!((seen.mounts(), seen.hostname()), (&None, &None));
    // The agent relies on the map.
    assert_eq!(seen.annotations(), &Some(Default::default()));
}
