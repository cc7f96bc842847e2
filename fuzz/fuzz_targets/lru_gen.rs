//! `/sys/kernel/debug/lru_gen`.
//!
//! * What is read is printed, and read as the same.
//! * Asking for some paths gives those of all, and the headers alone are those of all.
//! * Nodes ascend and have generations, and everything is within the input.
#![no_main]

use std::collections::HashSet;
use std::fmt::Write;

use libfuzzer_sys::fuzz_target;
use mem_agent::testing::{Dump, Memcg, Wanted};

/// A cgroup as the kernel prints it.
fn print(memcg: &Memcg<'_>) -> String {
    let mut text = format!("memcg {} {}\n", memcg.id(), memcg.path());
    for node in memcg.nodes() {
        writeln!(text, " node {}", node.node).expect("to memory");
        for line in node.generations {
            writeln!(
                text,
                " {} {} {} {}",
                line.seq, line.age_ms, line.anon, line.file
            )
            .expect("to memory");
        }
    }
    text
}

fn print_all(dump: &Dump<'_>) -> Vec<String> {
    dump.memcgs().map(|memcg| print(&memcg)).collect()
}

fuzz_target!(|data: &[u8]| {
    let dump = Dump::parse(data, Wanted::All);
    let all = print_all(&dump);
    let lines = data.split(|byte| *byte == b'\n').count();
    let generations: usize = dump
        .memcgs()
        .flat_map(|memcg| memcg.nodes())
        .map(|node| node.generations.len())
        .sum();
    assert!(all.len() + generations <= lines);

    let text = all.concat();
    let again = Dump::parse(text.as_bytes(), Wanted::All);
    assert_eq!(print_all(&again), all);
    assert_eq!((again.malformed, again.negative_counts), (0, 0));

    for memcg in dump.memcgs() {
        let nodes: Vec<_> = memcg.nodes().collect();
        assert!(nodes.is_sorted_by(|a, b| a.node < b.node));
        for node in nodes {
            assert!(!node.generations.is_empty());
            assert!(node.oldest().seq <= node.max_seq());
            let _ = node.youngest_age_ms();
        }
    }

    let headers = Dump::parse(data, Wanted::Headers);
    assert!(headers.memcgs().count() >= all.len());
    assert!(headers.memcgs().all(|memcg| memcg.nodes().next().is_none()));

    // Of a cgroup that is malformed, it is up to the reader where the next one begins: whole files.
    if dump.malformed == 0 {
        let paths: HashSet<String> = dump
            .memcgs()
            .step_by(2)
            .map(|memcg| memcg.path().to_owned())
            .collect();
        let some = Dump::parse(data, Wanted::Paths(&paths));
        let expected: Vec<_> = dump
            .memcgs()
            .filter(|memcg| paths.contains(memcg.path()))
            .map(|memcg| print(&memcg))
            .collect();
        assert_eq!(print_all(&some), expected);
    }
});
