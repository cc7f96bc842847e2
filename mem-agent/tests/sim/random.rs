//! Machines that follow from a seed.

use std::time::Duration;

use super::lru::{ANON, FILE, Generation, Lru};
use super::machine::Machine;
use super::profile::{Absent, Ids, Profile, Reclaim, StaleAging};
use super::rng::Rng;

/// Names that a hostile or careless user gives to cgroups.
pub const NAMES: [&str; 10] = [
    "web",
    "odd name",
    "two  spaces",
    "memcg 7 ",
    "node 0",
    "1 2 3 4",
    "a\\040b",
    "-0",
    "größe",
    "web.slice",
];

/// A kernel with any features.
pub fn profile(rng: &mut Rng) -> Profile {
    Profile {
        reclaim: *rng.pick(&[Reclaim::InStepsOf64, Reclaim::ScansAtMost]),
        stale_aging: *rng.pick(&[StaleAging::Ignored, StaleAging::Obeyed]),
        absent: *rng.pick(&[Absent::Zero, Absent::MinusZero]),
        ids: *rng.pick(&[Ids::Private16, Ids::Cgroup64]),
    }
}

/// A machine with up to so many cgroups besides the root.
pub fn machine(rng: &mut Rng, cgroups: u64) -> Machine {
    let mut machine = Machine::new(profile(rng));
    machine.advance(Duration::from_secs(rng.below(10_000_000)));
    if rng.chance(1, 3) {
        machine.add_node(1 + rng.below(3) as u32);
    }
    if rng.chance(1, 2) {
        machine.set_swap(rng.below(20_000));
    }
    for _ in 0..=rng.below(cgroups) {
        let path = new_path(rng, &machine);
        machine.create(&path);
    }
    let paths: Vec<String> = machine.paths().map(str::to_owned).collect();
    for path in paths {
        populate(rng, &mut machine, &path);
    }
    machine
}

/// A path below one that there is.
pub fn new_path(rng: &mut Rng, machine: &Machine) -> String {
    let paths: Vec<&str> = machine.paths().collect();
    let parent = rng.pick(&paths).trim_end_matches('/');
    format!("{parent}/{}", rng.pick(&NAMES))
}

/// Gives a cgroup pages, habits and limits.
pub fn populate(rng: &mut Rng, machine: &mut Machine, path: &str) {
    let now = machine.now();
    let nodes: Vec<u32> = machine.nodes().collect();
    for node in nodes {
        let mut lru = random_lru(rng, now);
        for kind in [ANON, FILE] {
            machine.memory.allocate(lru.resident(kind));
            if rng.chance(1, 3) {
                lru.hot[kind] = rng.below(1001);
            }
            if rng.chance(1, 3) {
                lru.protected[kind] = rng.below(1001);
            }
        }
        machine.cgroup_mut(path).lrus.insert(node, lru);
    }
    let cgroup = machine.cgroup_mut(path);
    if rng.chance(1, 3) {
        cgroup.psi_us = rng.below(5_000);
    }
    if rng.chance(1, 6) {
        cgroup.low = rng.below(1 << 28);
    }
    // The root cannot hide its files.
    if path != "/" && rng.chance(1, 20) {
        cgroup.has_psi = false;
    }
}

fn random_lru(rng: &mut Rng, now: Duration) -> Lru {
    let mut age = rng.below(1 << 20);
    if rng.chance(1, 20) {
        age = (1 << 32) - 50_000 + rng.below(100_000); // wraps
    }
    let count = 2 + rng.below(3);
    let mut generations = Vec::new();
    for n in 0..count {
        let born = Duration::from_millis(age * (count - n) / count);
        let sizes = [0, 0, 0, 60, 100, 300, 1_000, 3_000];
        let size = if rng.chance(1, 40) {
            40_000
        } else {
            *rng.pick(&sizes)
        };
        generations.push(Generation {
            born: now.saturating_sub(born),
            pages: [rng.below(size + 1), rng.below(size + 1)],
        });
    }
    Lru::with_generations(rng.below(1_000), generations)
}
