//! The example program `config-check`, as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program, which `cargo test` builds with the examples.
fn program() -> Option<PathBuf> {
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent()?.parent()?.join("examples/config-check");
    if !program.exists() {
        eprintln!("INFO: skipping a test of config-check: it is not built");
        return None;
    }
    Some(program)
}

/// Exit status, standard output and standard error.
fn run(program: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_good_configuration_is_shown_with_its_origins() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let file = root.join("c.toml");
    fs::write(&file, common::below(&root, &common::example("clh"))).unwrap();
    fs::create_dir(root.join("more")).unwrap();
    fs::write(root.join("more/10"), "\nruntime.keep_abnormal = true").unwrap();
    let more = root.join("more");
    let (status, shown, problems) = run(
        &program,
        &[file.to_str().unwrap(), "--drop-in", more.to_str().unwrap()],
    );
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    assert!(
        shown.contains(&format!("keep_abnormal = true # {}/10:2\n", more.display())),
        "{shown}"
    );
    toml::from_str::<kata_types::config::TomlConfig>(&shown).unwrap();
}

#[test]
fn problems_are_one_line_each_and_the_status_tells_errors() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("c.toml");
    let path = file.to_str().unwrap();

    fs::write(&file, "[runtime]\nkeep_abnormall = true\n").unwrap();
    let (status, _, problems) = run(&program, &[path]);
    assert_eq!(status, Some(0));
    assert_eq!(
        problems,
        format!(
            "{path}:2: runtime.keep_abnormall: ignored: no such key; did you mean \
             `keep_abnormal`? (warning)\n"
        )
    );

    fs::write(
        &file,
        "[runtime]\nkeep_abnormall = true\nname = 1\nvfio_mode = 2\n",
    )
    .unwrap();
    let (status, shown, problems) = run(&program, &[path]);
    assert_eq!((status, shown.as_str()), (Some(1), ""));
    let problems: Vec<_> = problems.lines().collect();
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[1].starts_with(&format!("{path}:3: runtime.name: invalid type")));
    assert!(problems[1].ends_with("(error)"));

    let (status, _, problems) = run(&program, &[&format!("{path}-missing")]);
    assert_eq!(status, Some(1));
    assert_eq!(
        problems,
        format!("{path}-missing: No such file or directory (os error 2) (error)\n")
    );
}

#[test]
fn files_need_not_exist_when_they_are_not_to_be_looked_for() {
    let Some(program) = program() else { return };
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("c.toml");
    let path = file.to_str().unwrap();
    for name in common::EXAMPLES
        .into_iter()
        .filter(|name| *name != "remote")
    {
        let text = common::example(name)
            .replace("/opt/", "/no/such/")
            .replace("8192", "1024");
        fs::write(&file, &text).unwrap();
        let (status, _, problems) = run(&program, &[path]);
        assert_eq!(status, Some(1), "{name}");
        assert!(problems.contains("/no/such/"), "{problems}");

        let (status, shown, problems) = run(&program, &[path, "--no-files"]);
        assert_eq!((status, problems.as_str()), (Some(0), ""), "{name}");
        assert!(shown.contains("kernel = \"/no/such/"), "{shown}");
    }
}

#[test]
fn annotations_of_a_pod_are_applied_if_they_are_enabled() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("c.toml");
    let path = file.to_str().unwrap();
    fs::write(
        &file,
        "[hypervisor.remote]\nenable_annotations = [\"default_gpus\"]\n\
         [agent.kata]\n[runtime]\nname = \"virt-container\"\nhypervisor_name = \"remote\"\nagent_name = \"kata\"\n",
    )
    .unwrap();
    let annotated = |name: &str, value: &str| {
        let annotation = format!("io.katacontainers.config.hypervisor.{name}={value}");
        run(&program, &[path, "--no-files", "--annotation", &annotation])
    };

    let (status, shown, problems) = annotated("default_gpus", "3");
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    assert!(shown.contains("default_gpus = 3 # annotation\n"), "{shown}");

    let (status, shown, problems) = annotated("default_gpu_model", "x");
    assert_eq!(status, Some(0));
    assert!(!shown.contains("# annotation"), "{shown}");
    assert_eq!(
        problems,
        "Annotation io.katacontainers.config.hypervisor.default_gpu_model not enabled (warning)\n"
    );

    let (status, shown, problems) = annotated("default_gpus", "many");
    assert_eq!((status, shown.as_str()), (Some(1), ""));
    assert!(problems.contains("default_gpus"), "{problems}");
    assert!(problems.contains("\"many\""), "{problems}");
}

#[test]
fn what_becomes_of_an_annotation_is_told() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().canonicalize().unwrap().join("c.toml");
    let path = file.to_str().unwrap();
    fs::write(
        &file,
        "[hypervisor.remote]\nenable_annotations = [\"network_queues\", \"(\"]\n\
         [agent.kata]\n[runtime]\nname = \"virt-container\"\nhypervisor_name = \"remote\"\nagent_name = \"kata\"\n",
    )
    .unwrap();
    let annotation = "io.katacontainers.config.hypervisor.network_queues=1000";
    let (status, shown, problems) =
        run(&program, &[path, "--no-files", "--annotation", annotation]);
    assert_eq!(status, Some(0), "{problems}");
    assert!(shown.contains("network_queues = 256"), "{shown}");
    let clamped = "hypervisor.remote.network_queues: changed from 1000 to 256: ";
    let lines: Vec<&str> = problems.lines().collect();
    // The pattern is told once, with its place, although the configuration is adjusted twice.
    assert_eq!(lines.len(), 2, "{problems}");
    assert!(
        lines.iter().any(|line| line.starts_with(clamped)),
        "{problems}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with(&format!("{path}:2: "))),
        "{problems}"
    );
}

#[test]
fn a_drop_in_directory_that_is_not_there_is_an_error() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    fs::write(&file, "[runtime]\n").unwrap();
    let (status, shown, problems) = run(
        &program,
        &[file.to_str().unwrap(), "--drop-in", "/no/such/typo"],
    );
    assert_eq!((status, shown.as_str()), (Some(1), ""));
    assert_eq!(
        problems,
        "/no/such/typo: No such file or directory (os error 2) (error)\n"
    );
}

#[test]
fn a_wrong_command_line_is_told_apart() {
    let Some(program) = program() else { return };
    for arguments in [
        &[][..],
        &["--no-such-option", "f"],
        &["f", "g"],
        &["f", "--drop-in"],
        &["f", "--annotation", "no-value"],
    ] {
        let (status, _, problems) = run(&program, arguments);
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(problems.contains("usage: config-check"), "{problems}");
    }
}
