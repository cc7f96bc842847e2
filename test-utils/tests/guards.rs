//! What each guard promises to the code after it, what it prints, and what strict mode makes of
//! it: each for root and for an ordinary user, in child processes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "tests; tests/child is a module of them"
)]

mod child;

use child::{Binary, Run, as_ordinary_user, run};

/// The guards, one test each. The tests further down run these in child processes.
mod after_guard {
    use std::fs::{self, OpenOptions};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{OpenOptionsExt, chown};

    use nix::unistd::Uid;
    use test_utils::{
        TestUserType, skip_if_kvm_inaccessible, skip_if_kvm_unaccessable, skip_if_no_cap,
        skip_if_not_guest, skip_if_not_root, skip_if_root, skip_loop_by_user,
        skip_loop_if_not_root, skip_loop_if_root,
    };

    fn is_root() -> bool {
        Uid::effective().is_root()
    }

    #[test]
    fn not_root() {
        skip_if_not_root!();
        assert!(is_root());
    }

    #[test]
    fn root() {
        skip_if_root!();
        assert!(!is_root());
    }

    #[test]
    fn value() -> Result<(), String> {
        fn root() -> &'static str {
            skip_if_root!("skipped");
            "ordinary user"
        }
        fn not_root() -> &'static str {
            skip_if_not_root!("skipped",);
            "root"
        }
        let expected = match is_root() {
            true => ("skipped", "root"),
            false => ("ordinary user", "skipped"),
        };
        assert_eq!((root(), not_root()), expected);
        skip_if_not_root!(Ok(()));
        is_root().then_some(()).ok_or("not root".to_owned())
    }

    #[test]
    fn loop_not_root() {
        let mut turns = 0;
        for i in 0..2 {
            let message = format!("test[{i}]");
            skip_loop_if_not_root!(message);
            assert!(is_root(), "{message}");
            turns += 1;
        }
        assert_eq!(turns, if is_root() { 2 } else { 0 });
    }

    #[test]
    fn loop_root() {
        let mut turns = 0;
        for message in ["a", "b"] {
            skip_loop_if_root!(message);
            assert!(!is_root(), "{message}");
            turns += 1;
        }
        assert_eq!(turns, if is_root() { 0 } else { 2 });
    }

    #[test]
    fn row_root_only() {
        for user in [TestUserType::RootOnly] {
            skip_loop_by_user!("row", user);
            assert!(is_root());
        }
    }

    #[test]
    fn row_non_root_only() {
        for user in [TestUserType::NonRootOnly] {
            skip_loop_by_user!("row", user);
            assert!(!is_root());
        }
    }

    #[test]
    fn row_any() {
        let mut turns = 0;
        for user in [TestUserType::Any; 3] {
            skip_loop_by_user!("row", user);
            turns += 1;
        }
        assert_eq!(turns, 3);
    }

    #[test]
    fn no_cap() {
        skip_if_no_cap!(CAP_CHOWN);
        let file = tempfile::NamedTempFile::new().unwrap();
        chown(file.path(), Some(super::child::ORDINARY_USER), None).unwrap();
    }

    #[test]
    fn guest() {
        skip_if_not_guest!();
        assert_eq!(std::env::var("KATA_TEST_GUEST").as_deref(), Ok("1"));
    }

    #[test]
    fn kvm() {
        skip_if_kvm_unaccessable!();
        skip_if_kvm_inaccessible!();

        // T7: nothing of the guard is left open.
        for entry in fs::read_dir("/proc/self/fd").unwrap() {
            let target = fs::read_link(entry.unwrap().path()).unwrap_or_default();
            let target = target.to_string_lossy();
            assert!(
                target != "/dev/kvm" && !target.starts_with("anon_inode:kvm"),
                "{target}"
            );
        }

        let kvm = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open("/dev/kvm")
            .unwrap();
        // SAFETY: the descriptor is open and the request takes no argument.
        let vm = unsafe { libc::ioctl(kvm.as_raw_fd(), 0xAE01, 0) };
        assert!(vm >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the descriptor was just created and nothing else knows it.
        assert_eq!(unsafe { libc::close(vm) }, 0);
    }
}

/// Who runs the guards.
#[derive(Clone, Copy, Debug, PartialEq)]
enum User {
    Root,
    Ordinary,
}

/// When a guard skips.
#[derive(Debug)]
enum Skips {
    For(User),
    Never,
    /// For the ordinary user, and for root as the machine has it.
    ForOrdinary,
    /// As the machine has it.
    Sometimes,
}

struct Guard {
    test: &'static str,
    /// The skip lines, each up to the test's name.
    lines: &'static [&'static str],
    skips: Skips,
    word: &'static str,
}

const GUARDS: [Guard; 10] = [
    Guard {
        test: "after_guard::not_root",
        lines: &["INFO: skipping guards::after_guard which needs root"],
        skips: Skips::For(User::Ordinary),
        word: "root",
    },
    Guard {
        test: "after_guard::root",
        lines: &["INFO: skipping guards::after_guard which needs non-root"],
        skips: Skips::For(User::Root),
        word: "nonroot",
    },
    Guard {
        test: "after_guard::loop_not_root",
        lines: &[
            "INFO: skipping loop test[0] in guards::after_guard which needs root",
            "INFO: skipping loop test[1] in guards::after_guard which needs root",
        ],
        skips: Skips::For(User::Ordinary),
        word: "root",
    },
    Guard {
        test: "after_guard::loop_root",
        lines: &[
            "INFO: skipping loop a in guards::after_guard which needs non-root",
            "INFO: skipping loop b in guards::after_guard which needs non-root",
        ],
        skips: Skips::For(User::Root),
        word: "nonroot",
    },
    Guard {
        test: "after_guard::row_root_only",
        lines: &["INFO: skipping loop row in guards::after_guard which needs root"],
        skips: Skips::For(User::Ordinary),
        word: "root",
    },
    Guard {
        test: "after_guard::row_non_root_only",
        lines: &["INFO: skipping loop row in guards::after_guard which needs non-root"],
        skips: Skips::For(User::Root),
        word: "nonroot",
    },
    Guard {
        test: "after_guard::row_any",
        lines: &[],
        skips: Skips::Never,
        word: "root",
    },
    Guard {
        test: "after_guard::no_cap",
        lines: &["INFO: skipping guards::after_guard which needs CAP_CHOWN: "],
        skips: Skips::ForOrdinary,
        word: "cap",
    },
    Guard {
        test: "after_guard::guest",
        lines: &["INFO: skipping guards::after_guard which needs the guest"],
        skips: Skips::Sometimes,
        word: "guest",
    },
    Guard {
        test: "after_guard::kvm",
        lines: &["INFO: skipping guards::after_guard - KVM device "],
        skips: Skips::Sometimes,
        word: "kvm",
    },
];

impl Guard {
    fn must_skip(&self, user: User) -> Option<bool> {
        match (&self.skips, user) {
            (Skips::For(skipped), user) => Some(*skipped == user),
            (Skips::Never, _) => Some(false),
            (Skips::ForOrdinary, User::Ordinary) => Some(true),
            (Skips::ForOrdinary, User::Root) | (Skips::Sometimes, _) => None,
        }
    }

    /// Checks a run without strict mode, and says whether the guard skipped.
    fn skipped(&self, run: &Run, user: User) -> bool {
        let printed = run.skip_lines(self.test);
        let skipped = !printed.is_empty();
        assert!(run.passed(self.test), "{}: {}", self.test, run.output);
        if let Some(expected) = self.must_skip(user) {
            assert_eq!(skipped, expected, "{} as {user:?}", self.test);
        }
        if skipped {
            assert_eq!(printed.len(), self.lines.len(), "{printed:?}");
            for (line, expected) in printed.iter().zip(self.lines) {
                assert!(line.starts_with(expected), "{line:?}: {expected:?}");
            }
        }
        skipped
    }
}

fn run_as(user: User, binary: &Binary, strict: Option<&str>) -> Run {
    let mut command = binary.command("after_guard::");
    if let Some(list) = strict {
        command.env("KATA_TEST_STRICT", list);
    }
    if user == User::Ordinary && nix::unistd::Uid::effective().is_root() {
        as_ordinary_user(&mut command);
    }
    run(&mut command)
}

/// Runs all guards as `user` with each word of strict mode, and with all.
fn check_guards_as(user: User) {
    let binary = Binary::new();
    let lenient = run_as(user, &binary, None);
    let skipped = GUARDS.map(|guard| guard.skipped(&lenient, user));
    assert!(lenient.passed, "{}", lenient.output);

    for strict in [
        "root",
        "nonroot",
        "kvm",
        "cap",
        "guest",
        "root, nonroot,kvm,cap,guest",
    ] {
        let run = run_as(user, &binary, Some(strict));
        for (guard, skipped) in GUARDS.iter().zip(skipped) {
            let forbidden = strict.split(',').any(|word| word.trim() == guard.word);
            let case = format!("{} as {user:?} with {strict:?}", guard.test);
            assert_eq!(run.passed(guard.test), !(skipped && forbidden), "{case}");
            if skipped && forbidden {
                let reason = format!("KATA_TEST_STRICT contains `{}`: must not skip ", guard.word);
                let message = run.output.lines().find(|l| {
                    l.starts_with(&reason) && l.ends_with(&format!("(test {})", guard.test))
                });
                assert!(message.is_some(), "{case}: {}", run.output);
            }
        }
    }

    let run = run_as(user, &binary, Some("rot"));
    for (guard, skipped) in GUARDS.iter().zip(skipped) {
        assert_eq!(
            run.passed(guard.test),
            !skipped,
            "{} with `rot`",
            guard.test
        );
    }
    assert!(
        run.output
            .contains("KATA_TEST_STRICT contains `rot`: expected ")
    );
}

#[test]
fn guards_as_root() {
    test_utils::skip_if_not_root!();
    check_guards_as(User::Root);
}

#[test]
fn guards_as_an_ordinary_user() {
    if nix::unistd::Uid::effective().is_root() {
        test_utils::skip_if_no_cap!(CAP_SETUID);
    }
    check_guards_as(User::Ordinary);
}

#[test]
fn strict_mode_panics_at_the_line_of_the_guard() {
    let run = run(Binary::new()
        .command("after_guard::")
        .env("KATA_TEST_STRICT", "root,nonroot")
        .env("RUST_BACKTRACE", "0"));
    // One of the two fails for every user.
    assert!(!run.passed("after_guard::root") || !run.passed("after_guard::not_root"));
    assert!(
        run.output
            .contains("panicked at test-utils/tests/guards.rs:")
            || run.output.contains("panicked at tests/guards.rs:"),
        "{}",
        run.output
    );
    assert!(!run.output.contains("src/user.rs"), "{}", run.output);
}

#[test]
fn root_of_a_user_namespace_passes_as_root_but_not_as_capable() {
    let unshare = ["unshare", "--user", "--map-root-user"];
    let works = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "true"])
        .output();
    if !works.is_ok_and(|output| output.status.success()) {
        println!("INFO: skipping: `unshare --user --map-root-user` does not work here");
        return;
    }
    let run = run(&mut Binary::new().command_under(&unshare, "after_guard::"));
    assert!(run.skip_lines("after_guard::not_root").is_empty());
    let lines = run.skip_lines("after_guard::no_cap");
    assert_eq!(lines.len(), 1, "{}", run.output);
    assert!(
        lines
            .iter()
            .all(|l| l.contains("CAP_CHOWN: in a user namespace (uid_map 0 "))
    );
}
