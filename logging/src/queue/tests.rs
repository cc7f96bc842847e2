use super::spare::KEPT;
use super::*;

fn fill(queue: &Queue, level: Level, record: &[u8]) -> u64 {
    let mut count = 0;
    while queue.push(level, 0, record) == Push::Queued {
        count += 1;
    }
    count
}

fn drain(queue: &Queue) -> u64 {
    let mut count = 0;
    while queue.pending() > 0 {
        match queue.next_job() {
            Job::Deliver(chunk) => {
                count += chunk.frames.len() as u64;
                assert_eq!(chunk.bytes.len(), chunk.frames.last().unwrap().end);
                queue.complete(chunk);
            }
            other => panic!("{other:?}"),
        }
    }
    count
}

#[test]
fn severe_records_have_room_of_their_own() {
    let queue = Queue::default();
    let record = [b'x'; 1000];
    let infos = fill(&queue, Level::Info, &record);
    let warnings = fill(&queue, Level::Warning, &record);
    assert_eq!(queue.push(Level::Critical, 0, &record), Push::Full);
    assert_eq!(queue.push(Level::Debug, 0, b"x"), Push::Full);
    for count in [infos, warnings] {
        let bytes = count as usize * (record.len() + OVERHEAD);
        assert!((LIMIT - 2000..=LIMIT).contains(&bytes), "{bytes}");
    }
    assert_eq!(drain(&queue), infos + warnings);
    assert_eq!(queue.push(Level::Debug, 0, &record), Push::Queued);
}

#[test]
fn records_in_the_hands_of_the_worker_take_room() {
    let queue = Queue::default();
    fill(&queue, Level::Info, &[b'x'; 1000]);
    let Job::Deliver(chunk) = queue.next_job() else {
        panic!("there is a chunk");
    };
    assert_eq!(queue.push(Level::Info, 0, &[b'x'; 1000]), Push::Full);
    queue.complete(chunk);
    assert_eq!(queue.push(Level::Info, 0, &[b'x'; 1000]), Push::Queued);
}

#[test]
fn chunks_are_used_again_and_given_back() {
    let queue = Queue::default();
    for _ in 0..3 {
        fill(&queue, Level::Info, &[b'x'; 1000]);
        queue.push(Level::Error, 0, &vec![b'x'; 10 * CHUNK]);
        drain(&queue);
        let state = queue.lock();
        let spare = state.spare.chunks();
        assert!((60..=70).contains(&spare.len()), "{} chunks", spare.len());
        assert!(spare.iter().all(|c| c.bytes.capacity() <= CHUNK));
    }
    // The worker falls asleep, until the flush.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !matches!(queue.next_job(), Job::Flush) {}
            queue.flushed(&Ok(()), Destination::Works);
        });
        while queue.lock().worker != Activity::Sleeps {
            std::thread::yield_now();
        }
        assert_eq!(queue.lock().spare.chunks().len(), KEPT);
        let ticket = queue.ask_flush();
        let reached = queue.wait_flushed(ticket, Duration::from_secs(60));
        assert_eq!(reached, Reached::Done(None));
    });
}

#[test]
fn chunks_are_given_back_while_there_are_a_few_records_all_the_time() {
    let queue = Queue::default();
    fill(&queue, Level::Info, &[b'x'; 1000]);
    drain(&queue);
    assert!(queue.lock().spare.chunks().len() > 60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let Job::Deliver(chunk) = queue.next_job() {
                queue.complete(chunk);
            }
        });
        // One each time that the worker has waited for a while, but not for long.
        let mut idle = 0;
        for _ in 0..3 * LINGERS {
            while queue.lock().idle == idle && queue.lock().worker != Activity::Sleeps {
                std::thread::yield_now();
            }
            idle = queue.lock().idle;
            queue.push(Level::Info, 0, b"x");
        }
        queue.close();
    });
    let spare = queue.lock().spare.chunks().len();
    // One may have been on its way.
    assert!(spare <= KEPT + 1, "{spare} chunks");
}

#[test]
fn chunks_take_a_quarter_more_than_their_records() {
    let queue = Queue::default();
    let sizes = [
        1,
        15,
        30,
        100,
        300,
        5_000,
        7_500,
        13_000,
        22 << 10,
        33 << 10,
        65 << 10,
    ];
    for large in sizes {
        for small in sizes {
            let records = [vec![b'x'; large], vec![b'x'; small]];
            for level in [Level::Info, Level::Warning] {
                while records
                    .iter()
                    .all(|r| queue.push(level, 0, r) == Push::Queued)
                {}
            }
            let state = queue.lock();
            let waiting: usize = state.chunks.iter().map(Chunk::size).sum();
            let size = waiting + state.spare.size();
            drop(state);
            // The last one may be almost empty.
            assert!(size <= MEMORY + 2 * CHUNK, "{large}, {small}: {size} bytes");
            drain(&queue);
            assert!(queue.lock().spare.size() <= MEMORY);
        }
    }
}

#[test]
fn bursts_of_one_kind_find_all_chunks_again() {
    for size in [100, 300, 1_000, 5_000] {
        let queue = Queue::default();
        let record = vec![b'x'; size];
        let mut before = None;
        for _ in 0..3 {
            fill(&queue, Level::Warning, &record);
            let needed = queue.lock().chunks.len();
            assert!(before.is_none_or(|spare| spare == needed), "{size}");
            assert!(queue.lock().spare.chunks().is_empty());
            drain(&queue);
            let spare = queue.lock().spare.chunks().len();
            assert_eq!(spare, needed, "{size}");
            before = Some(spare);
        }
    }
}

#[test]
fn a_flush_comes_after_the_records_before_it() {
    let queue = Queue::default();
    queue.push(Level::Info, 0, b"1");
    let first = queue.ask_flush();
    let Job::Deliver(one) = queue.next_job() else {
        panic!("records come first");
    };
    queue.push(Level::Info, 0, b"2");
    let second = queue.ask_flush();
    queue.complete(one);
    // The later records of others do not put it off.
    assert!(matches!(queue.next_job(), Job::Flush));
    queue.flushed(&Err(io::ErrorKind::StorageFull.into()), Destination::Works);
    let failed = Reached::Done(Some(io::ErrorKind::StorageFull));
    assert_eq!(queue.wait_flushed(first, Duration::ZERO), failed);
    assert_eq!(queue.wait_flushed(second, Duration::ZERO), Reached::Pending);
    let Job::Deliver(two) = queue.next_job() else {
        panic!("records come first");
    };
    queue.complete(two);
    assert!(matches!(queue.next_job(), Job::Flush));
    queue.flushed(&Ok(()), Destination::Works);
    assert_eq!(
        queue.wait_flushed(second, Duration::ZERO),
        Reached::Done(None)
    );
}

#[test]
fn a_flush_of_a_destination_that_works_gives_hope_again() {
    let queue = Queue::default();
    let first = queue.ask_flush();
    assert!(!queue.is_stuck(7));
    queue.note_stuck(first, 7);
    assert!(queue.is_stuck(7) && !queue.is_stuck(8));
    queue.flushed(&Ok(()), Destination::Fails);
    assert!(queue.is_stuck(7));
    let second = queue.ask_flush();
    queue.flushed(&Ok(()), Destination::Works);
    assert!(!queue.is_stuck(7));
    queue.note_stuck(second, 7);
    assert!(!queue.is_stuck(7), "it was done meanwhile");
}

#[test]
fn a_closed_queue_ends_after_its_records() {
    let queue = Queue::default();
    queue.push(Level::Info, 0, b"1");
    queue.close();
    assert_eq!(queue.push(Level::Critical, 0, b"2"), Push::Closed);
    assert_eq!(drain(&queue), 1);
    assert!(matches!(queue.next_job(), Job::End));
    assert!(!queue.wait_finished(Duration::ZERO));
    queue.finish();
    assert!(queue.wait_finished(Duration::ZERO));
}
