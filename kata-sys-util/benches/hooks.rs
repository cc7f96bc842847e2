//! What running a hook costs on top of starting a process, how soon its end is noticed, and how
//! exactly a deadline is kept. The floor is `posix_spawn(3)` and `waitpid(2)`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "benchmark"
)]

use std::ffi::{CString, c_char};
use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use kata_sys_util::hooks::HookStates;
use oci_spec::runtime::{Hook, HookBuilder};
use runtime_spec::{ContainerState, State};

/// The argument with which this program is a hook that writes down when it ends.
const STAMP: &str = "--stamp-and-exit";

fn hook(path: &str, args: &[&str], timeout: i64) -> Hook {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let builder = HookBuilder::default()
        .path(path)
        .args(args)
        .timeout(timeout);
    builder
        .env(["PATH=/usr/bin:/bin".to_owned()])
        .build()
        .unwrap()
}

fn state() -> State {
    State {
        version: "1.1.0".to_owned(),
        id: "0123456789abcdef".repeat(4),
        status: ContainerState::Created,
        pid: 4242,
        bundle: "/run/containerd/io.containerd.runtime.v2.task/k8s.io/web".to_owned(),
        annotations: [(
            "io.kubernetes.cri.container-type".to_owned(),
            "container".to_owned(),
        )]
        .into(),
    }
}

fn posix_spawn_and_wait(path: &CString) {
    let argv: [*mut c_char; 2] = [path.as_ptr().cast_mut(), ptr::null_mut()];
    let env: [*mut c_char; 1] = [ptr::null_mut()];
    let mut pid = 0;
    // SAFETY: the strings and arrays end in null and outlive the call.
    let result = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            path.as_ptr(),
            ptr::null(),
            ptr::null(),
            argv.as_ptr(),
            env.as_ptr(),
        )
    };
    assert_eq!(result, 0);
    let mut status = 0;
    // SAFETY: the status is only written to.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert_eq!(status, 0);
}

fn overhead(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hook");
    let path = CString::new("/bin/true").unwrap();
    group.bench_function("floor: posix_spawn and wait", |b| {
        b.iter(|| posix_spawn_and_wait(&path))
    });
    let hook = hook("/bin/true", &["true"], 10);
    group.bench_function("without state", |b| {
        b.iter(|| {
            HookStates::new()
                .execute_hook(black_box(&hook), None)
                .unwrap()
        });
    });
    group.bench_function("with state", |b| {
        b.iter(|| {
            HookStates::new()
                .execute_hook(black_box(&hook), Some(state()))
                .unwrap()
        });
    });
    // A process that has a virtual machine's memory, which `fork` would have to go through.
    let memory = black_box(vec![1_u8; 512 << 20]);
    group.bench_function("with state and 512 MiB of memory", |b| {
        b.iter(|| {
            HookStates::new()
                .execute_hook(black_box(&hook), Some(state()))
                .unwrap()
        });
    });
    drop(memory);
    group.finish();
}

/// Nanoseconds of the monotonic clock.
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the time is only written to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    (time.tv_sec * 1_000_000_000 + time.tv_nsec).unsigned_abs()
}

/// From the last instruction of a hook to the return of the call.
fn exit_to_return(criterion: &mut Criterion) {
    let program = std::env::current_exe().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let hook = hook(
        program.to_str().unwrap(),
        &["stamp", STAMP, out.to_str().unwrap()],
        10,
    );
    criterion.bench_function("hook/from its exit to the return", |b| {
        b.iter_custom(|count| {
            let latency = |_| {
                HookStates::new()
                    .execute_hook(&hook, Some(state()))
                    .unwrap();
                let returned = now();
                let ended: u64 = fs::read_to_string(&out).unwrap().parse().unwrap();
                Duration::from_nanos(returned - ended)
            };
            (0..count).map(latency).sum()
        });
    });
}

fn stamp_and_exit(out: &Path) -> ! {
    let mut file = fs::File::create(out).unwrap();
    write!(file, "{}", now()).unwrap();
    std::process::exit(0)
}

/// How much later than their deadline hooks return that do not end.
fn deadlines() {
    println!("hook/return after a deadline of 1 s:");
    for (name, script) in [
        ("sleeps", "sleep 100"),
        (
            "ignores signals",
            "trap '' TERM INT HUP PIPE; while :; do sleep 100; done",
        ),
        ("waits for a child", "sleep 100 & wait"),
        ("stops itself", "kill -STOP $$"),
        ("closes its pipes", "exec <&- >&- 2>&-; sleep 100"),
        ("floods both pipes", "cat /dev/zero & cat /dev/zero >&2"),
        (
            "forks a hundred",
            "for i in $(seq 100); do sleep 100 & done; wait",
        ),
    ] {
        let hook = hook("/bin/sh", &["sh", "-c", script], 1);
        let begin = Instant::now();
        HookStates::new()
            .execute_hook(&hook, Some(state()))
            .unwrap_err();
        let late = begin.elapsed() - Duration::from_secs(1);
        println!("    {name:20} {late:?} late");
    }
}

/// Nothing is left after many runs.
fn leftovers() {
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    let hook = hook("/bin/true", &["true"], 10);
    for _ in 0..10_000 {
        HookStates::new()
            .execute_hook(&hook, Some(state()))
            .unwrap();
    }
    // SAFETY: the status may be null.
    let child = unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
    println!(
        "hook/after 10 000 runs: {} descriptors more, {}",
        count() - before,
        if child == -1 {
            "no child"
        } else {
            "A CHILD IS LEFT"
        }
    );
}

criterion_group!(benches, overhead, exit_to_return);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, mark, out] = args.as_slice()
        && mark == STAMP
    {
        stamp_and_exit(Path::new(out));
    }
    let is_bench = args.iter().any(|arg| arg == "--bench");
    if is_bench {
        deadlines();
        leftovers();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
