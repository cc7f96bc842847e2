//! The hooks of a container: which side runs them, when, and what a failure means (OCI
//! runtime-spec, "POSIX-platform Hooks"). `kata_sys_util::hooks` runs them.

use std::io;
use std::path::PathBuf;

use kata_sys_util::hooks::HookStates;
use oci_spec::runtime::{Hook, Hooks, Spec};
use runtime_spec::{ContainerState, State};

/// When hooks are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// On the host, before the guest hears of the container.
    Create,
    /// In the guest, before the container's program starts.
    InGuest,
    /// On the host, once it has been started.
    Started,
    /// On the host, once it is gone.
    Stopped,
}

/// A kind of hooks.
struct Kind {
    /// Its key in `config.json`.
    name: &'static str,
    phase: Phase,
    /// What the hooks are told of the container.
    status: ContainerState,
    list: fn(&Hooks) -> &Option<Vec<Hook>>,
}

#[allow(deprecated, reason = "prestart hooks are still in use")]
const KINDS: [Kind; 6] = [
    kind(
        "prestart",
        Phase::Create,
        ContainerState::Creating,
        Hooks::prestart,
    ),
    kind(
        "createRuntime",
        Phase::Create,
        ContainerState::Creating,
        Hooks::create_runtime,
    ),
    kind(
        "createContainer",
        Phase::InGuest,
        ContainerState::Creating,
        Hooks::create_container,
    ),
    kind(
        "startContainer",
        Phase::InGuest,
        ContainerState::Created,
        Hooks::start_container,
    ),
    kind(
        "poststart",
        Phase::Started,
        ContainerState::Running,
        Hooks::poststart,
    ),
    kind(
        "poststop",
        Phase::Stopped,
        ContainerState::Stopped,
        Hooks::poststop,
    ),
];

const fn kind(
    name: &'static str,
    phase: Phase,
    status: ContainerState,
    list: fn(&Hooks) -> &Option<Vec<Hook>>,
) -> Kind {
    Kind {
        name,
        phase,
        status,
        list,
    }
}

/// A hook that was run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) phase: Phase,
    /// Where it stands: `hooks.createRuntime[0]`.
    pub(crate) field: String,
    pub(crate) path: PathBuf,
    pub(crate) result: io::Result<()>,
}

/// Runs the hooks of a phase, up to the first that fails if that must stop the container: the last
/// one says so.
pub(crate) fn run(phase: Phase, spec: &Spec, state: &State) -> Vec<Ran> {
    let may_fail = matches!(phase, Phase::Started | Phase::Stopped);
    let mut ran = Vec::new();
    let Some(hooks) = spec.hooks() else {
        return ran;
    };
    for kind in KINDS.iter().filter(|kind| kind.phase == phase) {
        // Two kinds may have the same hook: each list has states of its own.
        let mut states = HookStates::new();
        let state = State {
            status: kind.status,
            ..state.clone()
        };
        for (i, hook) in (kind.list)(hooks).iter().flatten().enumerate() {
            let result = states.execute_hook(hook, Some(state.clone()));
            let failed = result.is_err();
            ran.push(Ran {
                phase,
                field: format!("hooks.{}[{i}]", kind.name),
                path: hook.path().clone(),
                result,
            });
            if failed && !may_fail {
                return ran;
            }
        }
    }
    ran
}
