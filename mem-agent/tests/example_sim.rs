//! The example program `mem-agent-sim`, as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod sim;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sim::{FILE, Machine, Profile, Simulator, Tree};

/// The program, which `cargo test` builds with the examples.
fn program() -> Option<PathBuf> {
    let deps = std::env::current_exe().unwrap();
    let program = deps.parent()?.parent()?.join("examples/mem-agent-sim");
    if !program.exists() {
        eprintln!("INFO: skipping a test of mem-agent-sim: it is not built");
        return None;
    }
    Some(program)
}

/// Exit status, standard output and standard error.
fn run(program: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The last number before `word`.
fn number_before(text: &str, word: &str) -> u64 {
    let (before, _) = text.split_once(word).unwrap();
    before.split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn a_day_is_shown_and_the_agent_has_saved_memory() {
    let Some(program) = program() else { return };
    let (status, shown, problems) = run(&program, &[]);
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    let rows = shown.lines().filter(|line| line.contains("█")).count();
    assert_eq!(rows, 1 + 48, "the legend and each half hour:\n{shown}");
    assert!(shown.contains(" 24:00 "), "{shown}");
    assert!(shown.contains("held back by pressure"), "{shown}");
    assert!(number_before(&shown, " MiB were taken") > 1_000, "{shown}");
    assert!(number_before(&shown, " compactions.") > 0, "{shown}");
    let saved = number_before(&shown, " % less.");
    assert!((20..90).contains(&saved), "{shown}");
}

#[test]
fn the_same_seed_gives_the_same_day_and_another_one_another() {
    let Some(program) = program() else { return };
    let day = |seed| run(&program, &["--seed", seed]).1;
    let (seven, again, eight) = (day("7"), day("7"), day("8"));
    assert_eq!(seven, again);
    assert_ne!(seven, eight);
}

#[test]
fn the_picture_is_a_well_formed_svg() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("day.svg");
    let file = file.to_str().unwrap();
    let (status, shown, problems) = run(&program, &["--svg", file, "--reclaim"]);
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    assert!(shown.contains(file), "{shown}");
    let svg = fs::read_to_string(file).unwrap();
    check_xml(&svg);
    assert!(svg.contains("resident without the agent"));
    assert!(!svg.contains("NaN"));
}

/// Panics unless tags are nested, quoted and closed, and texts have no bare `<` or `&`.
fn check_xml(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut parts = text.split('<');
    assert_eq!(parts.next(), Some(""));
    for part in parts {
        let (tag, between) = part.split_once('>').unwrap();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag:?}");
        for entity in between.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            let known = ["lt", "gt", "amp", "quot", "apos"];
            assert!(known.contains(&name), "{between:?}");
        }
        let name = tag.trim_end_matches('/').split_whitespace().next().unwrap();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(text.starts_with("<svg ") && text.trim_end().ends_with("</svg>"));
}

#[test]
fn looking_at_this_machine_says_for_each_half_whether_it_can_run() {
    let Some(program) = program() else { return };
    let (status, shown, problems) = run(&program, &["--real"]);
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    for part in ["PSI", "MGLRU", "lru_gen", "swap space", "page reporting"] {
        assert!(shown.contains(part), "{shown}");
    }
    for half in ["memcg", "compact"] {
        assert!(shown.contains(&format!("The {half} half can")), "{shown}");
    }
}

#[test]
fn looking_at_a_machine_shows_its_cold_cgroups_and_changes_nothing() {
    let Some(program) = program() else { return };
    let mut machine = Machine::new(Profile::NEW);
    machine.create("/pod7/web");
    machine.allocate("/pod7/web", 0, FILE, 25_600);
    for _ in 0..3 {
        let id = machine.cgroup("/pod7/web").id;
        let seq = machine.cgroup("/pod7/web").lrus[&0].max_seq();
        machine.write(&format!("+ {id} 0 {seq} 0 1")).unwrap();
    }
    let dump = machine.dump().unwrap();
    let tree = Tree::new(Simulator::new(machine)).unwrap();
    let sys = tree.root().join("sys");
    let switch = sys.join("kernel/mm/lru_gen/enabled");
    for dir in ["kernel/debug", "kernel/mm/lru_gen"] {
        fs::create_dir_all(sys.join(dir)).unwrap();
    }
    fs::write(&switch, "0x0000\n").unwrap();
    fs::write(sys.join("kernel/debug/lru_gen"), &dump).unwrap();
    let root = tree.root().to_str().unwrap();
    let (status, shown, problems) = run(&program, &["--real", "--root", root]);
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    assert!(shown.contains("0x0000: the agent would write 7"), "{shown}");
    assert!(
        shown.contains("       100         0  /pod7/web\n"),
        "{shown}"
    );
    assert!(shown.contains("The memcg half can run here."), "{shown}");
    assert!(
        shown.contains("The compact half cannot run here: missing compaction."),
        "{shown}"
    );
    assert_eq!(fs::read_to_string(&switch).unwrap(), "0x0000\n");
    let after = fs::read_to_string(sys.join("kernel/debug/lru_gen")).unwrap();
    assert_eq!(after, dump);
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let Some(program) = program() else { return };
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--frobnicate"], 2, "unknown argument \"--frobnicate\""),
        (&["FILE"], 2, "unknown argument \"FILE\""),
        (&["--seed"], 2, "--seed needs a value"),
        (&["--seed", "x"], 2, "--seed \"x\": not a number"),
        (&["--seed", "-1"], 2, "--seed \"-1\": not a number"),
        (
            &["--real", "--svg", "x.svg"],
            2,
            "--real goes with --root only",
        ),
        (&["--root", "/"], 2, "--root goes with --real only"),
        (
            &["--svg", "/nowhere/x.svg"],
            1,
            "cannot write /nowhere/x.svg: ",
        ),
    ];
    for (arguments, status, message) in cases {
        let (found, _, problems) = run(&program, arguments);
        assert_eq!(found, Some(status), "{arguments:?}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
        let expected = format!("mem-agent-sim: {message}");
        assert!(problems.starts_with(&expected), "{problems}");
    }
}

#[test]
fn help_is_no_error_and_names_all_options() {
    let Some(program) = program() else { return };
    let (status, shown, problems) = run(&program, &["--help"]);
    assert_eq!((status, problems.as_str()), (Some(0), ""));
    for option in ["--seed", "--reclaim", "--svg", "--real", "--root", "--help"] {
        assert!(shown.contains(&format!("  {option} ")), "{shown}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error_and_the_picture_is_drawn() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("day.svg");
    for arguments in [vec![], vec!["--svg".into(), file.clone().into_os_string()]] {
        let mut child = Command::new(&program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
    check_xml(&fs::read_to_string(file).unwrap());
}
