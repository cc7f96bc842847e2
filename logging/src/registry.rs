//! Named loggers of components and subsystems, which any thread can look up (3.5).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lazy_static::lazy_static;
use slog::{Logger, o};

lazy_static! {
    /// The registered loggers, by the name of their component or subsystem. Initially empty.
    ///
    /// Usually read through [`logger_with_subsystem!`](crate::logger_with_subsystem).
    ///
    /// ```
    /// logging::register_component_logger("agent");
    ///
    /// assert!(logging::LOGGERS.load().contains_key("agent"));
    /// ```
    pub static ref LOGGERS: ArcSwap<HashMap<String, Logger>> =
        ArcSwap::from_pointee(HashMap::new());
}

/// Registers a logger for a component: that of the current scope ([`slog_scope::logger`](https://docs.rs/slog-scope/4/slog_scope/fn.logger.html)) with
/// `component` and `subsystem` set to the name.
///
/// What is registered under the name already is replaced. The registered logger keeps its
/// destination if the global logger is replaced later: register it again then.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("log");
/// # let file = std::fs::File::create(&path)?;
/// let (logger, guard) = logging::create_logger("shim", "sandbox-1", slog::Level::Info, file);
/// let _reset = slog_scope::set_global_logger(logger);
/// logging::register_component_logger("hypervisor");
/// logging::logger_with_subsystem!(sl, "hypervisor");
///
/// slog::info!(sl!(), "started");
///
/// drop(guard);
/// # let text = std::fs::read_to_string(path)?;
/// assert!(text.contains(r#""component":"hypervisor""#));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn register_component_logger(component_name: &str) {
    let logger = slog_scope::logger().new(o!(
        "component" => component_name.to_owned(),
        "subsystem" => component_name.to_owned(),
    ));
    insert(component_name, |_| logger.clone());
}

/// Registers a logger for a subsystem: that of its component with `subsystem` set to the name, or
/// that of the current scope if the component is not registered.
///
/// ```
/// logging::register_component_logger("runtimes");
/// logging::register_subsystem_logger("runtimes", "resource");
/// logging::logger_with_subsystem!(sl, "resource");
///
/// slog::info!(sl!(), "rules for `runtimes` apply to this record");
/// ```
pub fn register_subsystem_logger(component_name: &str, subsystem_name: &str) {
    let scope = slog_scope::logger();
    insert(subsystem_name, |loggers| {
        let parent = loggers.get(component_name).unwrap_or(&scope);
        parent.new(o!("subsystem" => subsystem_name.to_owned()))
    });
}

fn insert(name: &str, logger: impl Fn(&HashMap<String, Logger>) -> Logger) {
    LOGGERS.rcu(|loggers| {
        let mut changed = HashMap::clone(loggers);
        changed.insert(name.to_owned(), logger(loggers));
        Arc::new(changed)
    });
}

/// What [`logger_with_subsystem!`](crate::logger_with_subsystem) expands to.
pub fn subsystem_logger(subsystem: &str) -> Logger {
    match LOGGERS.load().get(subsystem) {
        Some(logger) => logger.clone(),
        None => slog_scope::logger().new(o!("subsystem" => subsystem.to_owned())),
    }
}

/// Defines a macro that is the logger of a subsystem: the one registered under that name, or else
/// that of the current scope with `subsystem` set to the name.
///
/// The logger is looked up each time the macro is used, which allocates nothing once it is
/// registered. Callers need no dependency on `slog-scope`.
///
/// ```
/// logging::logger_with_subsystem!(sl, "resource");
///
/// slog::info!(sl!(), "attached"; "device" => "vda");
/// let child: slog::Logger = sl!().new(slog::o!("container-id" => "web"));
/// ```
#[macro_export]
macro_rules! logger_with_subsystem {
    ($name:ident, $subsystem:expr) => {
        #[allow(unused_macros)]
        macro_rules! $name {
            () => {
                $crate::__private::subsystem_logger($subsystem)
            };
        }
    };
}
