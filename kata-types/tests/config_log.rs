//! What loading writes to the log. The logger belongs to the process, so this is one test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

use std::fs;
use std::sync::{Arc, Mutex};

use kata_types::config::TomlConfig;
use slog::{Drain, Level, Logger, Never, OwnedKVList, Record};

/// Keeps level and text of each record.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<Vec<(Level, String)>>>);

impl Drain for Records {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), Never> {
        self.0
            .lock()
            .unwrap()
            .push((record.level(), record.msg().to_string()));
        Ok(())
    }
}

#[test]
fn loading_logs_the_file_the_problems_and_the_configuration_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let file = root.join("c.toml");
    fs::write(
        &file,
        "[runtime]\nhypervisor_name = 'firecracker'\njaeger_password = 'hunter2'\nkeep_abnormall = true\n\
         [agent.kata]\npolicy = 'package secret_policy'\n\
         [hypervisor.firecracker]\nkernel = '/dev/null'\ninitdata = 'H4sIsecret'\nnetwork_queues = 1000\n",
    )
    .unwrap();
    fs::create_dir(root.join("config.d")).unwrap();
    fs::write(root.join("config.d/10.bak"), "").unwrap();

    let records = Records::default();
    let guard = slog_scope::set_global_logger(Logger::root(records.clone().fuse(), slog::o!()));
    TomlConfig::load_from_file(&file).unwrap();
    drop(guard);

    let records = records.0.lock().unwrap();
    let logged = |level: Level, part: &str| {
        let found = records
            .iter()
            .filter(|(found, text)| *found == level && text.contains(part));
        assert_eq!(found.count(), 1, "{level} {part:?} in {records:#?}");
    };
    let path = file.display();
    logged(Level::Info, &format!("load configuration from: {path}"));
    logged(
        Level::Info,
        "Adjusting hypervisor configuration [\"firecracker\"]",
    );
    logged(
        Level::Warning,
        &format!("{path}:4:1: warning: runtime.keep_abnormall: "),
    );
    logged(Level::Warning, "config.d/10.bak: warning: skipped");
    logged(
        Level::Info,
        &format!("{path}:10:1: info: hypervisor.firecracker.network_queues: "),
    );
    logged(Level::Info, "hypervisor_name: \"firecracker\"");
    for secret in ["hunter2", "secret_policy", "H4sIsecret"] {
        assert!(
            records.iter().all(|(_, text)| !text.contains(secret)),
            "{secret} is logged"
        );
    }
}
