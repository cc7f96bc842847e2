//! Records per second that arrive in a file, for as long as one likes: nothing may be lost, so a
//! caller that is too fast waits. Beside it the usual compositions of slog and of tracing, set up
//! to lose nothing, and the floor: the same bytes with one `write` for 64 KiB.

#![allow(missing_docs, reason = "benchmark")]
#![allow(clippy::unwrap_used, reason = "a benchmark may fail loudly")]

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use logging::FileRotator;
use slog::{Drain, Level, Logger, info, o};
use tracing_subscriber::layer::SubscriberExt;

const RECORDS: u64 = 200_000;

/// For one that needs seconds for these.
const FEW_RECORDS: u64 = 5_000;

fn log_all(logger: &Logger, records: u64, wait: impl Fn(&Logger)) {
    let logger = logger.new(o!("component" => "hypervisor", "subsystem" => "qemu"));
    for n in 0..records {
        info!(logger, "attached device"; "device" => "vda", "queues" => n, "path" => "/dev/vhost-net");
        if n % 8192 == 8191 {
            wait(&logger);
        }
    }
}

fn timed(count: u64, mut run: impl FnMut(File)) -> Duration {
    (0..count)
        .map(|_| {
            let file = tempfile::tempfile().unwrap();
            let start = Instant::now();
            run(file);
            start.elapsed()
        })
        .sum()
}

fn to_a_file(c: &mut Criterion) {
    let mut group = c.benchmark_group("to a file");
    group.throughput(Throughput::Elements(RECORDS));
    group.sample_size(10);

    group.bench_function("floor: write of 64 KiB", |b| {
        let bytes = vec![b'x'; 64 << 10];
        b.iter_custom(|count| {
            timed(count, |mut file| {
                for _ in 0..(RECORDS * 280) >> 16 {
                    file.write_all(&bytes).unwrap();
                }
            })
        });
    });
    group.bench_function("logging", |b| {
        b.iter_custom(|count| {
            timed(count, |file| {
                let (logger, guard) = logging::create_logger("bench", "bench", Level::Info, file);
                log_all(&logger, RECORDS, wait_for_room);
                drop(guard);
                assert_eq!(logging::stats(&logger).unwrap().written, RECORDS);
            })
        });
    });
    group.bench_function("logging with a FileRotator", |b| {
        b.iter_custom(|count| {
            let directory = tempfile::tempdir().unwrap();
            timed(count, |_| {
                let file = FileRotator::new(directory.path().join("log")).unwrap();
                let (logger, guard) = logging::create_logger("bench", "bench", Level::Info, file);
                log_all(&logger, RECORDS, wait_for_room);
                drop(guard);
                assert_eq!(logging::stats(&logger).unwrap().written, RECORDS);
            })
        });
    });
    group.bench_function("slog-json + slog-async, buffered", |b| {
        b.iter_custom(|count| {
            timed(count, |file| {
                let (logger, guard) = slog_json_async(std::io::LineWriter::new(file));
                log_all(&logger, RECORDS, |_| ());
                drop(guard);
            })
        });
    });
    group.throughput(Throughput::Elements(FEW_RECORDS));
    group.bench_function("slog-json + slog-async, unbuffered", |b| {
        b.iter_custom(|count| {
            timed(count, |file| {
                let (logger, guard) = slog_json_async(file);
                log_all(&logger, FEW_RECORDS, |_| ());
                drop(guard);
            })
        });
    });
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("tracing-subscriber + tracing-appender", |b| {
        b.iter_custom(|count| {
            timed(count, |file| {
                let (writer, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
                    .lossy(false)
                    .finish(file);
                let layer = tracing_subscriber::fmt::layer().json().with_writer(writer);
                let subscriber = tracing_subscriber::registry().with(layer);
                tracing::subscriber::with_default(subscriber, || {
                    for n in 0..RECORDS {
                        tracing::info!(
                            component = "hypervisor",
                            subsystem = "qemu",
                            device = "vda",
                            queues = n,
                            path = "/dev/vhost-net",
                            "attached device"
                        );
                    }
                });
                drop(guard);
            })
        });
    });
    group.finish();
}

/// Until a quarter of the queue is free.
fn wait_for_room(logger: &Logger) {
    if logging::stats(logger).unwrap().queued > 6000 {
        logger.flush().unwrap();
    }
}

fn slog_json_async(writer: impl Write + Send + 'static) -> (Logger, slog_async::AsyncGuard) {
    let json = slog_json::Json::new(writer)
        .add_default_keys()
        .build()
        .fuse();
    let (drain, guard) = slog_async::Async::new(json)
        .overflow_strategy(slog_async::OverflowStrategy::Block)
        .build_with_guard();
    let keys = o!("version" => "0.1.0", "pid" => 1, "name" => "bench", "source" => "bench");
    (Logger::root(drain.fuse(), keys), guard)
}

criterion_group!(benches, to_a_file);
criterion_main!(benches);
