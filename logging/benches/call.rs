//! What a logging call costs the thread that makes it: accepted, and rejected with and without
//! rules. Beside it the usual compositions of slog and of tracing, and the floor: one look at the
//! clock and a copy of as many bytes as a record has.

#![allow(missing_docs, reason = "benchmark")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail loudly")]

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, criterion_group, criterion_main};
use logging::FILTER_RULE;
use slog::{Drain, Level, Logger, debug, info, o};
use tracing_subscriber::layer::SubscriberExt;

/// Records between two waits for the worker: fewer than any of the queues holds.
const BURST: u64 = 100;

/// A component as it is registered in the runtime, and six keys in all.
fn component(root: &Logger) -> Logger {
    root.new(o!("component" => "hypervisor", "subsystem" => "qemu"))
}

macro_rules! accepted_record {
    ($logger:expr, $n:expr) => {
        info!($logger, "attached device"; "device" => "vda", "queues" => $n, "path" => "/dev/vhost-net")
    };
}

fn bursts(count: u64, mut call: impl FnMut(u64), mut wait: impl FnMut()) -> Duration {
    let mut time = Duration::ZERO;
    let mut done = 0;
    while done < count {
        let burst = BURST.min(count - done);
        let start = Instant::now();
        for n in 0..burst {
            call(n);
        }
        time += start.elapsed();
        wait();
        done += burst;
    }
    time
}

fn accepted(c: &mut Criterion) {
    let mut group = c.benchmark_group("accepted");

    let mut buffer = Vec::with_capacity(1 << 20);
    let line = [b'x'; 256];
    group.bench_function("floor: clock and copy", |b| {
        b.iter_custom(|count| {
            bursts(
                count,
                |_| {
                    black_box(SystemTime::now());
                    buffer.extend_from_slice(black_box(&line));
                },
                || (),
            )
        });
        buffer.clear();
    });

    let (root, _guard) = logging::create_logger("bench", "bench", Level::Info, std::io::sink());
    let logger = component(&root);
    group.bench_function("logging", |b| {
        b.iter_custom(|count| {
            bursts(
                count,
                |n| accepted_record!(logger, n),
                || root.flush().unwrap(),
            )
        });
    });
    group.bench_function("logging, all calls without a pause", |b| {
        let mut n = 0;
        b.iter(|| {
            n += 1;
            accepted_record!(logger, n);
        });
    });

    let (root, _guard) = slog_json_async();
    let logger = component(&root);
    group.bench_function("slog-json + slog-async", |b| {
        b.iter_custom(|count| bursts(count, |n| accepted_record!(logger, n), pause));
    });

    let (dispatch, _guard) = tracing_json(std::io::sink());
    tracing::dispatcher::with_default(&dispatch, || {
        group.bench_function("tracing-subscriber + tracing-appender", |b| {
            b.iter_custom(|count| {
                bursts(
                    count,
                    |n| {
                        tracing::info!(
                            component = "hypervisor",
                            subsystem = "qemu",
                            device = "vda",
                            queues = n,
                            path = "/dev/vhost-net",
                            "attached device"
                        );
                    },
                    pause,
                )
            });
        });
    });
    group.finish();
}

fn rejected(c: &mut Criterion) {
    let mut group = c.benchmark_group("rejected");
    let (root, _guard) = logging::create_logger("bench", "bench", Level::Info, std::io::sink());
    let logger = component(&root);
    let reject = |logger: &Logger| debug!(logger, "attached device"; "device" => "vda", "n" => 1);

    group.bench_function("no rules", |b| b.iter(|| reject(&logger)));
    rules(&[("agent", Level::Info), ("runtimes", Level::Warning)]);
    group.bench_function("rules that all reject", |b| b.iter(|| reject(&logger)));
    rules(&[("agent", Level::Debug), ("runtimes", Level::Warning)]);
    group.bench_function("a rule accepts another component", |b| {
        b.iter(|| reject(&logger));
    });
    group.bench_function("a rule accepts another component, no component here", |b| {
        b.iter(|| reject(&root));
    });
    rules(&[("hypervisor", Level::Info), ("agent", Level::Debug)]);
    group.bench_function("the rule of its component", |b| b.iter(|| reject(&logger)));
    rules(&[]);

    let (filtered, _guard) = slog_json_async();
    let filtered = component(&filtered);
    group.bench_function("slog-json + slog-async + LevelFilter outside", |b| {
        b.iter(|| reject(&filtered));
    });
    let (dispatch, _guard) = tracing_json(std::io::sink());
    tracing::dispatcher::with_default(&dispatch, || {
        group.bench_function("tracing-subscriber with an EnvFilter", |b| {
            b.iter(|| tracing::debug!(device = "vda", n = 1, "attached device"));
        });
    });
    group.finish();
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("logger_with_subsystem!");
    logging::logger_with_subsystem!(unknown, "unknown");
    group.bench_function("not registered", |b| b.iter(|| black_box(unknown!())));
    logging::register_component_logger("hypervisor");
    logging::logger_with_subsystem!(known, "hypervisor");
    group.bench_function("registered", |b| b.iter(|| black_box(known!())));
    group.finish();
}

fn rules(rules: &[(&str, Level)]) {
    let rules = rules
        .iter()
        .map(|(name, level)| ((*name).to_owned(), *level));
    FILTER_RULE.store(std::sync::Arc::new(rules.collect()));
}

/// Long enough for a queue that cannot be asked.
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

fn slog_json_async() -> (Logger, slog_async::AsyncGuard) {
    let json = slog_json::Json::new(std::io::sink())
        .add_default_keys()
        .build()
        .fuse();
    let (drain, guard) = slog_async::Async::new(json).build_with_guard();
    let drain = drain.filter_level(Level::Info).fuse();
    let logger = Logger::root(
        drain,
        o!("version" => "0.1.0", "pid" => 1, "name" => "bench", "source" => "bench"),
    );
    (logger, guard)
}

fn tracing_json(
    writer: impl Write + Send + 'static,
) -> (
    tracing::Dispatch,
    tracing_appender::non_blocking::WorkerGuard,
) {
    let (writer, guard) = tracing_appender::non_blocking(writer);
    let layer = tracing_subscriber::fmt::layer().json().with_writer(writer);
    let filter = tracing_subscriber::EnvFilter::new("info");
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    (tracing::Dispatch::new(subscriber), guard)
}

criterion_group!(benches, accepted, rejected, lookup);
criterion_main!(benches);
