//! Programs run at points of the container's life.

use super::{
    ConvertError, FromProto, IntoProto, conversions,
    error::OutOfRange,
    grpc,
    lossy::Losses,
    oci,
    rules::{list, non_empty, positive, take_path, to_list},
};

conversions! {
    /// `None` gives an empty list.
    (oci::Hooks) -> (grpc::Hooks) by value;

    /// An empty list gives `None`.
    <-;
}

impl IntoProto for oci::Hooks {
    type Proto = grpc::Hooks;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        grpc::Hooks {
            Prestart: to_list(self.prestart_mut().take(), "prestart", losses),
            CreateRuntime: to_list(self.create_runtime_mut().take(), "create_runtime", losses),
            CreateContainer: to_list(
                self.create_container_mut().take(),
                "create_container",
                losses,
            ),
            StartContainer: to_list(self.start_container_mut().take(), "start_container", losses),
            Poststart: to_list(self.poststart_mut().take(), "poststart", losses),
            Poststop: to_list(self.poststop_mut().take(), "poststop", losses),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Hooks> for oci::Hooks {
    fn from_proto(proto: grpc::Hooks, out_of_range: OutOfRange) -> Result<Self, ConvertError> {
        let hooks_of = |hooks, field| list(hooks, field, out_of_range).map(non_empty);
        let mut hooks = Self::default();
        hooks
            .set_prestart(hooks_of(proto.Prestart, "Prestart")?)
            .set_create_runtime(hooks_of(proto.CreateRuntime, "CreateRuntime")?)
            .set_create_container(hooks_of(proto.CreateContainer, "CreateContainer")?)
            .set_start_container(hooks_of(proto.StartContainer, "StartContainer")?)
            .set_poststart(hooks_of(proto.Poststart, "Poststart")?)
            // D3: not from `Poststart`.
            .set_poststop(hooks_of(proto.Poststop, "Poststop")?);
        Ok(hooks)
    }
}

conversions! {
    /// `None` gives an empty list, or a timeout of 0. A path that is not UTF-8 is changed.
    (oci::Hook) -> (grpc::Hook) by value;

    /// `path` is what was sent, also if empty. No arguments give `None`, which makes the path
    /// `argv[0]`; an empty argument vector could not be executed. A timeout, in seconds, that
    /// is not positive gives `None`.
    <-;
}

impl IntoProto for oci::Hook {
    type Proto = grpc::Hook;

    fn into_proto<L: Losses>(mut self, losses: &mut L) -> Self::Proto {
        grpc::Hook {
            Path: take_path(self.path_mut(), "path", losses),
            Args: self.args_mut().take().unwrap_or_default(),
            Env: self.env_mut().take().unwrap_or_default(),
            Timeout: self.timeout().unwrap_or_default(),
            ..Default::default()
        }
    }
}

impl FromProto<grpc::Hook> for oci::Hook {
    fn from_proto(proto: grpc::Hook, _: OutOfRange) -> Result<Self, ConvertError> {
        let mut hook = Self::default();
        hook.set_path(proto.Path.into())
            // D4: an empty argv could not be executed.
            .set_args(non_empty(proto.Args))
            .set_env(non_empty(proto.Env))
            .set_timeout(positive(proto.Timeout));
        Ok(hook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trans::check::{both, from_proto, to_proto};
    use serde_json::json;

    fn hook(path: &str) -> grpc::Hook {
        grpc::Hook {
            Path: path.into(),
            ..Default::default()
        }
    }

    #[test]
    fn hook_with_every_field_set() {
        both::<oci::Hook, _>(
            json!({"path": "/h", "args": ["h", "x"], "env": ["A=1"], "timeout": 3}),
            grpc::Hook {
                Path: "/h".into(),
                Args: vec!["h".into(), "x".into()],
                Env: vec!["A=1".into()],
                Timeout: 3,
                ..Default::default()
            },
        );
    }

    /// D4: `args` = `Some([])` would be an empty argv.
    #[test]
    fn hook_without_arguments_has_none() {
        both::<oci::Hook, _>(json!({"path": "/h"}), hook("/h"));
        to_proto::<oci::Hook, _>(
            json!({"path": "/h", "args": [], "env": [], "timeout": 0}),
            hook("/h"),
        );
    }

    #[test]
    fn hook_timeout_must_be_positive() {
        for timeout in [0, -1, i64::MIN] {
            let mut hook = hook("/h");
            hook.Timeout = timeout;
            from_proto::<oci::Hook, _>(hook, json!({"path": "/h"}));
        }
        let sent = json!({"path": "/h", "timeout": -1});
        let mut hook = hook("/h");
        hook.Timeout = -1;
        to_proto::<oci::Hook, _>(sent, hook);
    }

    /// D3: `poststop` is not `Poststart`.
    #[test]
    fn every_list_arrives_under_its_own_name() {
        both::<oci::Hooks, _>(
            json!({
                "prestart": [{"path": "/1"}],
                "createRuntime": [{"path": "/2"}],
                "createContainer": [{"path": "/3"}],
                "startContainer": [{"path": "/4"}],
                "poststart": [{"path": "/5"}],
                "poststop": [{"path": "/6"}, {"path": "/7"}],
            }),
            grpc::Hooks {
                Prestart: vec![hook("/1")],
                CreateRuntime: vec![hook("/2")],
                CreateContainer: vec![hook("/3")],
                StartContainer: vec![hook("/4")],
                Poststart: vec![hook("/5")],
                Poststop: vec![hook("/6"), hook("/7")],
                ..Default::default()
            },
        );
        let only_poststop = grpc::Hooks {
            Poststop: vec![hook("/6")],
            ..Default::default()
        };
        both::<oci::Hooks, _>(json!({"poststop": [{"path": "/6"}]}), only_poststop);
        let only_poststart = grpc::Hooks {
            Poststart: vec![hook("/5")],
            ..Default::default()
        };
        both::<oci::Hooks, _>(json!({"poststart": [{"path": "/5"}]}), only_poststart);
        both::<oci::Hooks, _>(json!({}), grpc::Hooks::new());
    }
}
