//! Tests in processes of their own: what they get, and what becomes of their results. The tests in
//! `inside` are started by those after them, as root and as an ordinary user.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests; tests/child is a module of them"
)]

mod child;

use std::fs;
use std::path::Path;

use child::{Binary, Run, as_ordinary_user, run};
use test_utils::seccomp::{Rule, run_under};

/// Where the tests in `inside` write what they see.
const LOG: &str = "KATA_TEST_ISOLATION_LOG";

mod inside {
    use std::env;
    use std::ffi::CString;
    use std::fmt::Display;
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::process::parent_id;
    use std::path::Path;

    use test_utils::isolate;
    use test_utils::isolation::{Isolation, change_root, scratch, unshare};
    use test_utils::seccomp::Rule;

    use super::LOG;

    const MOUNTS: libc::c_int = libc::CLONE_NEWNS;
    const USER: libc::c_int = libc::CLONE_NEWUSER;

    /// Whether it is for the tests below.
    fn is_asked() -> bool {
        env::var_os(LOG).is_some()
    }

    fn log(what: impl Display) {
        let path = env::var_os(LOG).unwrap();
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    fn namespace(kind: &str) -> String {
        let link = fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_owned()
    }

    fn uid() -> u32 {
        // SAFETY: geteuid takes nothing.
        unsafe { libc::geteuid() }
    }

    fn is_mounted(path: &Path) -> bool {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let path = path.to_str().unwrap();
        table
            .lines()
            .any(|line| line.split(' ').nth(4) == Some(path))
    }

    fn mount_tmpfs(path: &Path) {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        let tmpfs = c"tmpfs".as_ptr();
        // SAFETY: strings that end in NUL, and no data.
        let result = unsafe { libc::mount(tmpfs, path.as_ptr(), tmpfs, 0, std::ptr::null()) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    #[test]
    fn process() {
        if !is_asked() {
            return;
        }
        log(format!("before {}", std::process::id()));
        isolate!(Isolation::new());
        log(format!("after {} of {}", std::process::id(), parent_id()));
    }

    #[test]
    fn value() -> Result<(), String> {
        if !is_asked() {
            return Ok(());
        }
        isolate!(Isolation::new(), Ok(()));
        log("after");
        Err("expected".to_owned())
    }

    #[test]
    fn failure() {
        if is_asked() {
            isolate!(Isolation::new());
            println!("text before the end");
            panic!("expected");
        }
    }

    #[test]
    fn end_of_the_process() {
        if is_asked() {
            isolate!(Isolation::new());
            std::process::exit(0);
        }
    }

    #[test]
    #[ignore = "ignored tests run like others"]
    fn ignored() {
        if is_asked() {
            isolate!(Isolation::new());
            log("after");
        }
    }

    #[test]
    fn skip_lines() {
        if is_asked() {
            isolate!(Isolation::new());
            println!("INFO: skipping the first");
            println!("text");
            println!("INFO: skipping the second");
        }
    }

    #[test]
    fn scratch_directory() {
        if !is_asked() {
            return;
        }
        isolate!(Isolation::new());
        let directory = scratch();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::create_dir_all(directory.join("a/b")).unwrap();
        log(directory.display());
    }

    #[test]
    fn scratch_without_isolation() {
        if is_asked() {
            scratch();
        }
    }

    #[test]
    fn mounts() {
        if !is_asked() {
            return;
        }
        log(namespace("mnt"));
        isolate!(
            Isolation::new()
                .namespaces(MOUNTS)
                .or_namespaces(MOUNTS | USER)
        );
        assert_eq!(uid(), 0);
        let directory = scratch();
        mount_tmpfs(&directory);
        assert!(is_mounted(&directory));
        log(namespace("mnt"));
        log(directory.display());
    }

    #[test]
    fn user() {
        if !is_asked() {
            return;
        }
        log(namespace("user"));
        isolate!(Isolation::new().namespaces(USER));
        assert_eq!(uid(), 0);
        assert_ne!(fs::read_to_string("/proc/self/uid_map").unwrap().trim(), "");
        log(namespace("user"));
    }

    #[test]
    fn tmpfs() {
        if !is_asked() {
            return;
        }
        let of_the_run = tempfile::NamedTempFile::new().unwrap();
        isolate!(
            Isolation::new()
                .namespaces(MOUNTS | USER)
                .or_namespaces(MOUNTS)
                .tmpfs()
                .before(|| assert!(of_the_run.path().exists()))
        );
        assert!(is_mounted(&env::temp_dir()));
        let names: Vec<_> = fs::read_dir(env::temp_dir()).unwrap().collect();
        assert_eq!(
            names.len(),
            2,
            "the scratch directory and the file: {names:?}"
        );
        assert_eq!(fs::read_dir(scratch()).unwrap().count(), 0);
        drop(of_the_run);
        println!("INFO: a mount of its own");
    }

    #[test]
    fn seccomp() {
        if !is_asked() {
            return;
        }
        let rules = [Rule::fail(libc::SYS_fsync, libc::EIO)];
        isolate!(Isolation::new().seccomp(&rules));
        let sync = || tempfile::tempfile().unwrap().sync_all();
        assert_eq!(sync().unwrap_err().raw_os_error(), Some(libc::EIO));
        // All of the process, from its first thread on.
        for task in fs::read_dir("/proc/self/task").unwrap() {
            let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
            assert!(status.contains("Seccomp:\t2"), "{status}");
        }
        log("after");
    }

    #[test]
    fn rules_without_end() {
        if is_asked() {
            let rules = [Rule::fail(libc::SYS_fsync, libc::EIO); 3000];
            isolate!(Isolation::new().namespaces(USER).seccomp(&rules));
            log("after");
        }
    }

    #[test]
    fn levels() {
        if !is_asked() {
            return;
        }
        isolate!(Isolation::new().namespaces(MOUNTS | USER).tmpfs());
        let outer = namespace("user");
        let directory = env::temp_dir().join("outer");
        isolate!(Isolation::new().namespaces(MOUNTS | USER).before(|| {
            println!("INFO: outer {outer}");
            fs::create_dir(&directory).unwrap();
            mount_tmpfs(&directory);
        }));
        assert!(is_mounted(&directory));
        let target = CString::new(directory.to_str().unwrap()).unwrap();
        // SAFETY: a string that ends in NUL.
        let result = unsafe { libc::umount2(target.as_ptr(), 0) };
        assert_eq!(result, -1, "mounts of the outer namespace are locked");
        isolate!(Isolation::new());
        println!("INFO: inner {}", namespace("user"));
    }

    #[test]
    fn calls() {
        if !is_asked() {
            return;
        }
        isolate!(
            Isolation::new()
                .namespaces(MOUNTS)
                .or_namespaces(MOUNTS | USER)
        );
        let before = namespace("net");
        unshare(libc::CLONE_NEWNET).unwrap();
        assert_ne!(namespace("net"), before);
        let directory = scratch();
        fs::write(directory.join("file"), "inside").unwrap();
        change_root(&directory).unwrap();
        assert_eq!(fs::read_to_string("/file").unwrap(), "inside");
        assert_eq!(env::current_dir().unwrap(), Path::new("/"));
    }
}

/// Who runs the tests in `inside`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum User {
    Current,
    Ordinary,
}

struct Report {
    run: Run,
    log: Vec<String>,
}

impl Report {
    fn of(test: &str, user: User) -> Self {
        Self::with(test, user, &[])
    }

    /// With these variables in its environment.
    fn with(test: &str, user: User, variables: &[(&str, &str)]) -> Self {
        let binary = Binary::new();
        let dir = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(dir.path(), open).unwrap();
        let path = dir.path().join("log");
        let test = format!("inside::{test}");
        let mut command = binary.command(&test);
        command
            .arg("--exact")
            .arg("--include-ignored")
            .env(LOG, &path)
            .envs(variables.iter().copied());
        if user == User::Ordinary {
            as_ordinary_user(&mut command);
        }
        let run = run(&mut command);
        let log = fs::read_to_string(&path).unwrap_or_default();
        Self {
            run,
            log: log.lines().map(str::to_owned).collect(),
        }
    }

    /// Of a test that passes, or is skipped for want of user namespaces.
    fn of_passed(test: &str, user: User) -> Option<Self> {
        let report = Self::of(test, user);
        assert!(report.run.passed, "{test}: {}", report.run.output);
        if report.run.output.contains("INFO: skipping") {
            println!("INFO: skipping {test} of {user:?}: no namespaces");
            return None;
        }
        Some(report)
    }
}

/// As who this process can run tests.
fn users() -> Vec<User> {
    // SAFETY: geteuid takes nothing.
    match unsafe { libc::geteuid() } {
        0 => vec![User::Current, User::Ordinary],
        _ => vec![User::Current],
    }
}

#[test]
fn rest_of_a_test_runs_once_in_a_child_process() {
    for user in users() {
        let log = Report::of_passed("process", user).unwrap().log;
        let ids = |line: &str| -> Vec<u32> {
            line.split(' ')
                .filter_map(|word| word.parse().ok())
                .collect()
        };
        let [parent, child, after] = log.as_slice() else {
            panic!("{log:?}");
        };
        assert!(parent.starts_with("before") && child.starts_with("before"));
        assert_ne!(ids(parent), ids(child));
        assert_eq!(ids(after), [ids(child), ids(parent)].concat());
    }
}

#[test]
fn test_that_fails_in_the_child_fails_with_its_output() {
    let report = Report::of("failure", User::Current);
    assert!(!report.run.passed);
    for text in [
        "inside::failure in a process of its own: exit status: 101",
        "text before the end",
        "expected",
    ] {
        assert!(report.run.output.contains(text), "{}", report.run.output);
    }
    let report = Report::of("value", User::Current);
    assert!(!report.run.passed && report.log == ["after"]);
    assert!(report.run.output.contains(r#"Error: "expected""#));
}

#[test]
fn child_that_ends_before_the_test_does_fails_it() {
    let report = Report::of("end_of_the_process", User::Current);
    assert!(!report.run.passed, "{}", report.run.output);
}

#[test]
fn ignored_test_can_be_isolated() {
    let report = Report::of_passed("ignored", User::Current).unwrap();
    assert_eq!(report.log, ["after"]);
}

#[test]
fn skip_lines_of_the_child_are_printed() {
    let report = Report::of("skip_lines", User::Current);
    assert!(report.run.passed);
    let lines = report.run.output.lines();
    let lines: Vec<_> = lines
        .filter(|line| line.contains("INFO") || *line == "text")
        .collect();
    assert_eq!(
        lines,
        ["INFO: skipping the first", "INFO: skipping the second"]
    );
}

#[test]
fn scratch_directory_is_removed_after_the_child() {
    for user in users() {
        let report = Report::of_passed("scratch_directory", user).unwrap();
        let [path] = report.log.as_slice() else {
            panic!("{:?}", report.log);
        };
        assert!(!Path::new(path).exists());
    }
    let report = Report::of("scratch_without_isolation", User::Current);
    assert!(!report.run.passed);
    assert!(report.run.output.contains("in a test that is not isolated"));
}

#[test]
fn mounts_of_the_child_are_its_own() {
    for user in users() {
        let Some(report) = Report::of_passed("mounts", user) else {
            continue;
        };
        // The second line is that of the child, before the rest of the test.
        let [outer, inner_before, inner, path] = report.log.as_slice() else {
            panic!("{:?}", report.log);
        };
        assert_eq!(inner, inner_before);
        assert_ne!(inner, outer);
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!table.contains(path.as_str()), "{path} is mounted outside");
    }
}

#[test]
fn child_is_root_of_a_user_namespace_of_its_own() {
    for user in users() {
        if let Some(report) = Report::of_passed("user", user) {
            assert_eq!(report.log.len(), 3);
            assert_ne!(report.log[0], report.log[2]);
        }
    }
}

#[test]
fn tmpfs_covers_the_directory_for_temporary_files() {
    for user in users() {
        if let Some(report) = Report::of_passed("tmpfs", user) {
            let output = &report.run.output;
            assert!(output.contains("INFO: a mount of its own"), "{output}");
        }
    }
}

#[test]
fn filter_holds_for_all_of_the_child() {
    for user in users() {
        let report = Report::of_passed("seccomp", user).unwrap();
        assert_eq!(report.log, ["after"]);
    }
}

#[test]
fn each_level_begins_inside_the_one_before() {
    for user in users() {
        let Some(report) = Report::of_passed("levels", user) else {
            continue;
        };
        let lines: Vec<_> = report.run.output.lines().collect();
        let the_only = |start: &str| {
            let mut found = lines.iter().filter_map(|line| line.strip_prefix(start));
            let first = found.next().unwrap();
            assert_eq!(found.next(), None, "{lines:?}");
            first
        };
        let (outer, inner) = (the_only("INFO: outer "), the_only("INFO: inner "));
        assert_ne!(outer, inner);
    }
}

#[test]
fn calls_for_namespaces_and_root_work_in_the_child() {
    for user in users() {
        Report::of_passed("calls", user);
    }
}

/// What a machine without user namespaces does to an ordinary user.
#[test]
fn test_is_skipped_loudly_if_namespaces_are_not_to_be_had() {
    let no_namespaces = [Rule::fail(libc::SYS_unshare, libc::EPERM)];
    let user = *users().last().unwrap();
    for (test, reason) in [
        (
            "user",
            "inside which needs user namespaces: Operation not permitted",
        ),
        ("mounts", "; no namespaces: Operation not permitted"),
    ] {
        let report = run_under(&no_namespaces, || Report::of(test, user));
        assert!(report.run.passed, "{}", report.run.output);
        let name = format!("inside::{test}");
        let lines = report.run.skip_lines(&name);
        let [line] = lines.as_slice() else {
            panic!("{}", report.run.output);
        };
        assert!(line.contains(reason), "{line}");

        let strict = &[("KATA_TEST_STRICT", "cap")];
        let report = run_under(&no_namespaces, || Report::with(test, user, strict));
        assert!(!report.run.passed, "{}", report.run.output);
        let expected = "KATA_TEST_STRICT contains `cap`: must not skip";
        assert!(
            report.run.output.contains(expected),
            "{}",
            report.run.output
        );
    }
}

/// Neither of them has to do with namespaces, which the tests ask for.
#[test]
fn test_fails_if_its_process_cannot_be_started() {
    let nowhere = &[("TMPDIR", "/nonexistent")];
    let cases = [
        ("process", "make a directory in /nonexistent: No such file"),
        ("user", "make a directory in /nonexistent: No such file"),
        ("mounts", "make a directory in /nonexistent: No such file"),
    ];
    for user in users() {
        for (test, reason) in cases {
            let report = Report::with(test, user, nowhere);
            assert_not_started(&report, test, reason);
        }
        let report = Report::of("rules_without_end", user);
        let reason = "3000 rules do not fit into a filter";
        assert_not_started(&report, "rules_without_end", reason);
    }
}

fn assert_not_started(report: &Report, test: &str, reason: &str) {
    let output = &report.run.output;
    assert!(!report.run.passed, "{output}");
    let expected = format!("cannot start a process for the test inside::{test}: {reason}");
    assert!(output.contains(&expected), "{output}");
}

/// A child that gets its namespaces but fails later.
#[test]
fn test_fails_if_its_mounts_cannot_be_made() {
    let no_mounts = [Rule::fail(libc::SYS_mount, libc::EPERM)];
    for user in users() {
        let report = run_under(&no_mounts, || Report::of("tmpfs", user));
        let output = &report.run.output;
        if report.run.passed {
            assert!(
                output.contains("INFO: skipping inside which needs "),
                "{output}"
            );
            println!("INFO: skipping tmpfs of {user:?}: no namespaces");
            continue;
        }
        assert_not_started(&report, "tmpfs", "mount in the new namespace: Operation");
    }
}

#[test]
fn test_fails_if_the_one_with_all_privileges_gets_no_namespaces() {
    test_utils::skip_if_no_cap!(CAP_SYS_ADMIN);
    let no_namespaces = [Rule::fail(libc::SYS_unshare, libc::EPERM)];
    let report = run_under(&no_namespaces, || Report::of("mounts", User::Current));
    assert!(!report.run.passed);
    let expected = "no namespaces in spite of CAP_SYS_ADMIN: Operation not permitted";
    assert!(
        report.run.output.contains(expected),
        "{}",
        report.run.output
    );
}
