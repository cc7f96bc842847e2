//! Network namespaces of real threads. Each test runs in a process with a user namespace of its
//! own, unless it is root's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod messages;

use std::fs;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kata_sys_util::netns::{NetnsGuard, run_in_netns, spawn_in_netns};
use messages::messages_of;
use slog::{Drain, Level, Logger, OwnedKVList, Record};
use test_utils::isolate;
use test_utils::isolation::{Isolation, as_ordinary_user, change_root, scratch, unshare};
use test_utils::seccomp::{self, Rule};

/// With a network namespace of its own, whoever runs the test.
fn own_namespace() -> Isolation<'static> {
    Isolation::new()
        .namespaces(libc::CLONE_NEWNET)
        .or_namespaces(libc::CLONE_NEWNET | libc::CLONE_NEWUSER)
}

/// The namespace of the calling thread.
fn current() -> PathBuf {
    fs::read_link("/proc/thread-self/ns/net").unwrap()
}

/// A network namespace, held by a thread in it.
struct Netns {
    path: String,
    id: PathBuf,
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Netns {
    fn new() -> Self {
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let thread = thread::spawn(move || {
            unshare(libc::CLONE_NEWNET).unwrap();
            let task = fs::read_link("/proc/thread-self").unwrap();
            tell.send((Path::new("/proc").join(task).join("ns/net"), current()))
                .unwrap();
            let _ = ended.recv();
        });
        let (path, id) = told.recv().unwrap();
        let path = path.to_str().unwrap().to_owned();
        Self {
            path,
            id,
            thread: Some((end, thread)),
        }
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            drop(end);
            thread.join().unwrap();
        }
    }
}

/// The errors that `f` logs.
fn errors_of(f: impl FnOnce()) -> Vec<String> {
    let errors = messages_of(f).into_iter();
    let errors = errors.filter(|(level, _)| *level == Level::Error);
    errors.map(|(_, message)| message).collect()
}

#[test]
fn guards_enter_and_return_level_by_level() {
    isolate!(own_namespace());
    let home = current();
    let (first, second) = (Netns::new(), Netns::new());
    assert!(first.id != home && second.id != home && first.id != second.id);
    let outer = NetnsGuard::new(&first.path).unwrap();
    assert_eq!(current(), first.id);
    {
        let _inner = NetnsGuard::new(&second.path).unwrap();
        assert_eq!(current(), second.id);
        let _again = NetnsGuard::new(&second.path).unwrap();
        assert_eq!(current(), second.id);
    }
    assert_eq!(current(), first.id);
    let _nothing = NetnsGuard::new("").unwrap();
    assert_eq!(current(), first.id);
    drop(outer);
    assert_eq!(current(), home);
}

#[test]
fn own_namespace_can_be_entered() {
    isolate!(own_namespace());
    let home = current();
    for path in ["/proc/self/ns/net", "/proc/thread-self/ns/net"] {
        let guard = NetnsGuard::new(path).unwrap();
        assert_eq!(current(), home);
        drop(guard);
        assert_eq!(current(), home);
    }
}

#[test]
fn failed_guard_leaves_the_thread_and_its_descriptors_as_they_were() {
    isolate!(own_namespace());
    let home = current();
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    for (path, expected) in [
        ("/no/such/netns", "open new netns path /no/such/netns"),
        ("/proc/self/ns/mnt", "set netns to new netns"),
        ("/dev/null", "set netns to new netns"),
    ] {
        assert_eq!(NetnsGuard::new(path).err().unwrap().to_string(), expected);
        let error = run_in_netns(path, || panic!("not reached")).err().unwrap();
        assert_eq!(error.to_string(), expected);
        let error = spawn_in_netns(path, || panic!("not reached"))
            .join()
            .err()
            .unwrap();
        assert_eq!(error.to_string(), expected);
        assert!(error.downcast_ref::<std::io::Error>().is_some());
    }
    assert_eq!(current(), home);
    assert_eq!(count(), before);
}

#[test]
fn guard_without_proc_is_an_error_with_the_path() {
    isolate!(own_namespace());
    let pid = std::process::id();
    change_root(&scratch()).unwrap();
    let error = NetnsGuard::new("/any").err().unwrap().to_string();
    let prefix = format!("open current netns path /proc/{pid}/task/");
    assert!(
        error.starts_with(&prefix) && error.ends_with("/ns/net"),
        "{error}"
    );
}

#[test]
fn guard_without_a_path_warns_once() {
    let messages = messages_of(|| drop(NetnsGuard::new("").unwrap()));
    let levels: Vec<Level> = messages.into_iter().map(|(level, _)| level).collect();
    assert_eq!(levels, [Level::Warning]);
}

#[test]
fn descriptors_of_a_guard_are_close_on_exec_and_closed_with_it() {
    isolate!(own_namespace());
    let netns = Netns::new();
    let of_namespaces = || {
        let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let fds = entries.filter(|entry| {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            target.to_string_lossy().starts_with("net:[")
        });
        fds.map(|entry| entry.file_name().to_str().unwrap().parse().unwrap())
            .collect::<Vec<i32>>()
    };
    let guard = NetnsGuard::new(&netns.path).unwrap();
    let fds = of_namespaces();
    assert_eq!(fds.len(), 1);
    // SAFETY: fcntl takes numbers.
    let flags = unsafe { libc::fcntl(fds[0], libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);
    drop(guard);
    assert!(of_namespaces().is_empty());
}

#[test]
fn guard_dropped_on_another_thread_leaves_that_alone_and_says_so() {
    isolate!(own_namespace());
    let home = current();
    let netns = Netns::new();
    // SAFETY: gettid takes nothing.
    let gettid = || unsafe { libc::syscall(libc::SYS_gettid) };
    let (guard, entered) = thread::scope(|scope| {
        let enter = || (NetnsGuard::new(&netns.path).unwrap(), gettid());
        scope.spawn(enter).join().unwrap()
    });
    let errors = errors_of(|| drop(guard));
    assert_eq!(current(), home);
    let [error] = &errors[..] else {
        panic!("{errors:?}")
    };
    for id in [entered, gettid()] {
        assert!(error.contains(&format!("thread {id} ")), "{error}");
    }
}

#[test]
fn guard_that_cannot_return_logs_and_does_not_panic() {
    isolate!(own_namespace());
    let netns = Netns::new();
    let errors = errors_of(|| {
        let guard = NetnsGuard::new(&netns.path).unwrap();
        seccomp::install(&[Rule::fail(libc::SYS_setns, libc::EPERM)]).unwrap();
        drop(guard);
    });
    let [error] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert!(
        error.contains("cannot return to its network namespace"),
        "{error}"
    );
}

#[test]
fn guard_returns_while_a_panic_unwinds() {
    isolate!(own_namespace());
    let home = current();
    let netns = Netns::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _guard = NetnsGuard::new(&netns.path).unwrap();
        panic!("expected");
    }));
    assert!(result.is_err());
    assert_eq!(current(), home);
}

#[test]
fn guard_survives_a_logger_that_panics() {
    struct Panics;
    impl Drain for Panics {
        type Ok = ();
        type Err = slog::Never;
        fn log(&self, _: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
            panic!("logger is gone");
        }
    }
    isolate!(own_namespace());
    let netns = Netns::new();
    let guard = thread::scope(|scope| {
        scope
            .spawn(|| NetnsGuard::new(&netns.path).unwrap())
            .join()
            .unwrap()
    });
    slog_scope::scope(&Logger::root(Panics, slog::o!()), || drop(guard));
}

#[test]
fn function_runs_in_the_namespace_and_the_caller_does_not() {
    isolate!(own_namespace());
    let home = current();
    let netns = Netns::new();
    let borrowed = "borrowed".to_owned();
    let mut changed = 0;
    let (id, text) = run_in_netns(&netns.path, || {
        changed += 1;
        (current(), borrowed.as_str())
    })
    .unwrap();
    assert_eq!((id, text, changed), (netns.id.clone(), "borrowed", 1));
    assert_eq!(
        spawn_in_netns(&netns.path, current).join().unwrap(),
        netns.id
    );
    // A namespace inside a namespace.
    let inner = run_in_netns(&netns.path, || {
        let other = Netns::new();
        (
            run_in_netns(&other.path, current).unwrap(),
            other.id.clone(),
            current(),
        )
    });
    let (found, expected, outer) = inner.unwrap();
    assert_eq!((found, outer), (expected, netns.id.clone()));
    assert_eq!(current(), home);
}

#[test]
fn panic_of_the_function_is_an_error_with_its_message() {
    isolate!(own_namespace());
    let netns = Netns::new();
    let text = |result: anyhow::Result<()>| result.unwrap_err().to_string();
    let prefix = "function in network namespace panicked: ";
    assert_eq!(
        text(run_in_netns(&netns.path, || panic!("plain"))),
        format!("{prefix}plain")
    );
    let number = 7;
    let task = spawn_in_netns(&netns.path, move || panic!("number {number}"));
    assert_eq!(text(task.join()), format!("{prefix}number 7"));
    let task = spawn_in_netns(&netns.path, || panic_any(7_u8));
    assert_eq!(text(task.join()), format!("{prefix}no message"));
}

/// Panics with another of its kind when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic_any(Self);
    }
}

#[test]
fn panic_with_what_panics_when_dropped_is_an_error_like_others() {
    isolate!(own_namespace());
    let netns = Netns::new();
    let calls: [fn(String) -> anyhow::Result<()>; 3] = [
        |path| run_in_netns(path, || panic_any(Bomb)),
        |path| spawn_in_netns(path, || panic_any(Bomb)).join(),
        |path| {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            runtime.block_on(spawn_in_netns(path, || panic_any(Bomb)))
        },
    ];
    for call in calls {
        let (tell, told) = channel();
        let path = netns.path.clone();
        let caller = thread::spawn(move || tell.send(call(path)).unwrap());
        // Neither a result that never comes, nor a panic of the caller, which ends the channel.
        let result = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(
            result.unwrap_err().to_string(),
            "function in network namespace panicked: no message"
        );
        caller.join().unwrap();
    }
}

#[test]
fn task_is_a_future_that_gives_its_result_once() {
    isolate!(own_namespace());
    let netns = Netns::new();
    let (go, wait) = channel::<()>();
    let mut task = pin!(spawn_in_netns(&netns.path, move || wait.recv().unwrap()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(task.as_mut().poll(&mut context).is_pending());
    go.send(()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(task.as_mut()).unwrap();
    let Poll::Ready(Err(error)) = task.as_mut().poll(&mut context) else {
        panic!("the result is there again");
    };
    assert_eq!(error.to_string(), "result of the function has been taken");
}

#[test]
fn dropped_task_runs_to_its_end() {
    isolate!(own_namespace());
    let netns = Netns::new();
    let (go, wait) = channel::<()>();
    let (tell, told) = channel();
    drop(spawn_in_netns(&netns.path, move || {
        wait.recv().unwrap();
        tell.send(current()).unwrap();
    }));
    go.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), netns.id);
}

/// The namespaces of the threads of this process, but for those that hold one.
fn of_all_threads(holders: &[Netns]) -> Vec<PathBuf> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let links = tasks.map(|task| task.path().join("ns/net"));
    let held = |path: &PathBuf| {
        let id = path.strip_prefix("/proc/self/task").unwrap();
        holders
            .iter()
            .any(|netns| Path::new(&netns.path).ends_with(id))
    };
    links
        .filter(|path| !held(path))
        .filter_map(|path| fs::read_link(path).ok())
        .collect()
}

#[test]
fn thousand_switches_on_a_runtime_leave_every_worker_at_home() {
    isolate!(own_namespace());
    let home = current();
    let all = Arc::new([Netns::new(), Netns::new(), Netns::new()]);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let tasks: Vec<_> = (0..1000)
        .map(|index| {
            let (all, home) = (Arc::clone(&all), home.clone());
            runtime.spawn(async move {
                let netns = &all[index % all.len()];
                if index % 2 == 0 {
                    let found = spawn_in_netns(&netns.path, current).await.unwrap();
                    assert_eq!(found, netns.id);
                } else {
                    // Without an `.await`, the guard is safe as well.
                    let guard = NetnsGuard::new(&netns.path).unwrap();
                    assert_eq!(current(), netns.id);
                    drop(guard);
                }
                assert_eq!(current(), home);
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    // Threads of their own may still be about to end; a worker would stay where it is.
    let begin = Instant::now();
    loop {
        let namespaces = of_all_threads(&all[..]);
        assert!(namespaces.len() >= 5, "main thread and workers");
        if namespaces.iter().all(|id| *id == home) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{namespaces:?}");
        thread::yield_now();
    }
}

#[test]
fn without_privilege_the_namespace_stays() {
    as_ordinary_user(|| {
        let home = current();
        let error = NetnsGuard::new("/proc/thread-self/ns/net").err().unwrap();
        assert_eq!(error.to_string(), "set netns to new netns");
        assert_eq!(current(), home);
    });
}
