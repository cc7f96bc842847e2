//! The methods of the services that have stubs, as a table for macros, and services made of it.

use std::sync::{Arc, Mutex};

use protobuf::MessageFull;
use ttrpc::{Code, Error, get_status};

use crate::vectors;

/// Calls a macro with, for each service, the modules, the trait, the client, the factory and the
/// name on the wire; and for each method its function, its name on the wire, request and response.
macro_rules! with_services {
    ($callback:ident) => {
        $callback! {
            agent_ttrpc agent_ttrpc_async AgentService AgentServiceClient create_agent_service "grpc.AgentService" {
                create_container "CreateContainer" agent::CreateContainerRequest => empty::Empty,
                start_container "StartContainer" agent::StartContainerRequest => empty::Empty,
                remove_container "RemoveContainer" agent::RemoveContainerRequest => empty::Empty,
                exec_process "ExecProcess" agent::ExecProcessRequest => empty::Empty,
                signal_process "SignalProcess" agent::SignalProcessRequest => empty::Empty,
                wait_process "WaitProcess" agent::WaitProcessRequest => agent::WaitProcessResponse,
                update_container "UpdateContainer" agent::UpdateContainerRequest => empty::Empty,
                update_ephemeral_mounts "UpdateEphemeralMounts" agent::UpdateEphemeralMountsRequest => empty::Empty,
                stats_container "StatsContainer" agent::StatsContainerRequest => agent::StatsContainerResponse,
                pause_container "PauseContainer" agent::PauseContainerRequest => empty::Empty,
                resume_container "ResumeContainer" agent::ResumeContainerRequest => empty::Empty,
                remove_stale_virtiofs_share_mounts "RemoveStaleVirtiofsShareMounts" agent::RemoveStaleVirtiofsShareMountsRequest => empty::Empty,
                get_diagnostic_data "GetDiagnosticData" agent::GetDiagnosticDataRequest => agent::GetDiagnosticDataResponse,
                write_stdin "WriteStdin" agent::WriteStreamRequest => agent::WriteStreamResponse,
                read_stdout "ReadStdout" agent::ReadStreamRequest => agent::ReadStreamResponse,
                read_stderr "ReadStderr" agent::ReadStreamRequest => agent::ReadStreamResponse,
                close_stdin "CloseStdin" agent::CloseStdinRequest => empty::Empty,
                tty_win_resize "TtyWinResize" agent::TtyWinResizeRequest => empty::Empty,
                update_interface "UpdateInterface" agent::UpdateInterfaceRequest => types::Interface,
                update_routes "UpdateRoutes" agent::UpdateRoutesRequest => agent::Routes,
                list_interfaces "ListInterfaces" agent::ListInterfacesRequest => agent::Interfaces,
                list_routes "ListRoutes" agent::ListRoutesRequest => agent::Routes,
                add_arp_neighbors "AddARPNeighbors" agent::AddARPNeighborsRequest => empty::Empty,
                get_ip_tables "GetIPTables" agent::GetIPTablesRequest => agent::GetIPTablesResponse,
                set_ip_tables "SetIPTables" agent::SetIPTablesRequest => agent::SetIPTablesResponse,
                get_metrics "GetMetrics" agent::GetMetricsRequest => agent::Metrics,
                mem_agent_memcg_set "MemAgentMemcgSet" agent::MemAgentMemcgConfig => empty::Empty,
                mem_agent_compact_set "MemAgentCompactSet" agent::MemAgentCompactConfig => empty::Empty,
                create_sandbox "CreateSandbox" agent::CreateSandboxRequest => empty::Empty,
                destroy_sandbox "DestroySandbox" agent::DestroySandboxRequest => empty::Empty,
                online_cpu_mem "OnlineCPUMem" agent::OnlineCPUMemRequest => empty::Empty,
                reseed_random_dev "ReseedRandomDev" agent::ReseedRandomDevRequest => empty::Empty,
                get_guest_details "GetGuestDetails" agent::GuestDetailsRequest => agent::GuestDetailsResponse,
                mem_hotplug_by_probe "MemHotplugByProbe" agent::MemHotplugByProbeRequest => empty::Empty,
                set_guest_date_time "SetGuestDateTime" agent::SetGuestDateTimeRequest => empty::Empty,
                copy_file "CopyFile" agent::CopyFileRequest => empty::Empty,
                get_oom_event "GetOOMEvent" agent::GetOOMEventRequest => agent::OOMEvent,
                add_swap "AddSwap" agent::AddSwapRequest => empty::Empty,
                add_swap_path "AddSwapPath" agent::AddSwapPathRequest => empty::Empty,
                get_volume_stats "GetVolumeStats" agent::VolumeStatsRequest => csi::VolumeStatsResponse,
                resize_volume "ResizeVolume" agent::ResizeVolumeRequest => empty::Empty,
                set_policy "SetPolicy" agent::SetPolicyRequest => empty::Empty,
            }
            health_ttrpc health_ttrpc_async Health HealthClient create_health "grpc.Health" {
                check "Check" health::CheckRequest => health::HealthCheckResponse,
                version "Version" health::CheckRequest => health::VersionCheckResponse,
            }
            remote_ttrpc remote_ttrpc_async Hypervisor HypervisorClient create_hypervisor "hypervisor.Hypervisor" {
                create_vm "CreateVM" remote::CreateVMRequest => remote::CreateVMResponse,
                start_vm "StartVM" remote::StartVMRequest => remote::StartVMResponse,
                stop_vm "StopVM" remote::StopVMRequest => remote::StopVMResponse,
                version "Version" remote::VersionRequest => remote::VersionResponse,
            }
            confidential_data_hub_ttrpc confidential_data_hub_ttrpc_async SealedSecretService SealedSecretServiceClient create_sealed_secret_service "api.SealedSecretService" {
                unseal_secret "UnsealSecret" confidential_data_hub::UnsealSecretInput => confidential_data_hub::UnsealSecretOutput,
            }
            confidential_data_hub_ttrpc confidential_data_hub_ttrpc_async SecureMountService SecureMountServiceClient create_secure_mount_service "api.SecureMountService" {
                secure_mount "SecureMount" confidential_data_hub::SecureMountRequest => confidential_data_hub::SecureMountResponse,
            }
            confidential_data_hub_ttrpc confidential_data_hub_ttrpc_async GetResourceService GetResourceServiceClient create_get_resource_service "api.GetResourceService" {
                get_resource "GetResource" confidential_data_hub::GetResourceRequest => confidential_data_hub::GetResourceResponse,
            }
            confidential_data_hub_ttrpc confidential_data_hub_ttrpc_async ImagePullService ImagePullServiceClient create_image_pull_service "api.ImagePullService" {
                pull_image "PullImage" confidential_data_hub::ImagePullRequest => confidential_data_hub::ImagePullResponse,
            }
        }
    };
}
/// Implements every method: the request must be the `full` golden vector of its type, and so is the
/// response.
#[derive(Default)]
pub(crate) struct Complete {
    /// Paths of the calls.
    calls: Mutex<Vec<&'static str>>,
}

/// Implements no method.
pub(crate) struct Bare;

impl Complete {
    pub(crate) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn answer<Request: MessageFull, Response: MessageFull>(
        &self,
        path: &'static str,
        request: &Request,
    ) -> ttrpc::Result<Response> {
        self.calls.lock().unwrap().push(path);
        if *request == vectors::full::<Request>() {
            return Ok(vectors::full());
        }
        let status = get_status(Code::INVALID_ARGUMENT, format!("{path}: other request"));
        Err(Error::RpcStatus(status))
    }
}

macro_rules! implement_blocking {
    ($($module:ident $async_module:ident $service:ident $client:ident $factory:ident $path:literal {
        $($method:ident $wire:literal $request_module:ident::$request:ident
            => $response_module:ident::$response:ident,)*
    })*) => {
        $(
            impl protocols::$module::$service for Complete {
                $(fn $method(
                    &self,
                    _ctx: &ttrpc::TtrpcContext,
                    request: protocols::$request_module::$request,
                ) -> ttrpc::Result<protocols::$response_module::$response> {
                    self.answer(concat!("/", $path, "/", $wire), &request)
                })*
            }

            impl protocols::$module::$service for Bare {}
        )*

        /// Registers every service.
        pub(crate) fn register<S>(server: ttrpc::Server, service: Arc<S>) -> ttrpc::Server
        where
            S: $(protocols::$module::$service +)* Send + Sync + 'static,
        {
            server$(.register_service(protocols::$module::$factory(service.clone())))*
        }

        /// The paths of the methods, as a blocking server knows them.
        pub(crate) fn paths() -> Vec<&'static str> {
            vec![$($(concat!("/", $path, "/", $wire),)*)*]
        }

        /// Calls every method with its golden vector and gives `check` the path and whether the
        /// response is the golden vector of its type.
        pub(crate) fn call_all(
            client: &ttrpc::Client,
            mut check: impl FnMut(&'static str, ttrpc::Result<bool>),
        ) {
            $(
                let stub = protocols::$module::$client::new(client.clone());
                $({
                    let request = vectors::full::<protocols::$request_module::$request>();
                    let result = stub.$method(crate::harness::patient(), &request);
                    let expected = vectors::full::<protocols::$response_module::$response>();
                    check(concat!("/", $path, "/", $wire), result.map(|r| r == expected));
                })*
            )*
        }
    };
}

with_services!(implement_blocking);

#[cfg(feature = "async")]
macro_rules! implement_async {
    ($($module:ident $async_module:ident $service:ident $client:ident $factory:ident $path:literal {
        $($method:ident $wire:literal $request_module:ident::$request:ident
            => $response_module:ident::$response:ident,)*
    })*) => {
        $(
            #[async_trait::async_trait]
            impl protocols::$async_module::$service for Complete {
                $(async fn $method(
                    &self,
                    _ctx: &ttrpc::r#async::TtrpcContext,
                    request: protocols::$request_module::$request,
                ) -> ttrpc::Result<protocols::$response_module::$response> {
                    self.answer(concat!("/", $path, "/", $wire), &request)
                })*
            }

            #[async_trait::async_trait]
            impl protocols::$async_module::$service for Bare {}
        )*

        /// [`register`] for the async server.
        pub(crate) fn register_async<S>(
            server: ttrpc::r#async::Server,
            service: Arc<S>,
        ) -> ttrpc::r#async::Server
        where
            S: $(protocols::$async_module::$service +)* Send + Sync + 'static,
        {
            server$(.register_service(protocols::$async_module::$factory(service.clone())))*
        }

        /// [`call_all`] with the async client.
        pub(crate) async fn call_all_async(
            client: &ttrpc::r#async::Client,
            mut check: impl FnMut(&'static str, ttrpc::Result<bool>),
        ) {
            $(
                let stub = protocols::$async_module::$client::new(client.clone());
                $({
                    let request = vectors::full::<protocols::$request_module::$request>();
                    let result = stub.$method(crate::harness::patient(), &request).await;
                    let expected = vectors::full::<protocols::$response_module::$response>();
                    check(concat!("/", $path, "/", $wire), result.map(|r| r == expected));
                })*
            )*
        }
    };
}

#[cfg(feature = "async")]
with_services!(implement_async);
