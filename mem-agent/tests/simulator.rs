//! The simulator follows the kernel's rules (spec 3.11.3).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs,
    reason = "tests"
)]

mod sim;

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use mem_agent::testing::{Dump, Host, Wanted, parse_meminfo, parse_pagetypeinfo, parse_pressure};

use sim::{
    ANON, Absent, Disturbance, FILE, Generation, Ids, Lru, Machine, Memory, Profile, Reclaim, Rng,
    Simulator, StaleAging, Tree,
};

/// Generations with these pages, anonymous and file, from the oldest; 100 s apart.
fn lru(pages: &[[u64; 2]]) -> Lru {
    let generation = |(n, pages): (usize, &[u64; 2])| Generation {
        born: Duration::from_secs(100 * n as u64),
        pages: *pages,
    };
    Lru::with_generations(7, pages.iter().enumerate().map(generation).collect())
}

fn pages(lru: &Lru) -> Vec<[u64; 2]> {
    lru.rows().map(|(_, generation)| generation.pages).collect()
}

/// A machine with the cgroup `/a`, of which the id is returned.
fn machine(profile: Profile, lru: Lru) -> (Machine, u64) {
    let mut machine = Machine::new(profile);
    let cgroup = machine.create("/a");
    cgroup.lrus.insert(0, lru);
    let id = cgroup.id;
    (machine, id)
}

fn four() -> Lru {
    lru(&[[100, 1_000], [200, 2_000], [300, 3_000], [400, 4_000]])
}

fn errno(result: std::io::Result<()>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn aging_merges_the_oldest_of_four_generations_and_makes_a_new_one() {
    let mut lru = four();
    lru.age(Duration::from_secs(900), false);
    assert_eq!(
        pages(&lru),
        [[300, 3_000], [300, 3_000], [400, 4_000], [0, 0]]
    );
    assert_eq!((lru.min_seq(), lru.max_seq()), (8, 11));
    assert_eq!(lru.youngest_born(), Duration::from_secs(900));
    let mut three = self::lru(&[[1, 1], [2, 2], [3, 3]]);
    three.age(Duration::from_secs(900), false);
    assert_eq!(pages(&three), [[1, 1], [2, 2], [3, 3], [0, 0]], "no merge");
}

#[test]
fn aging_moves_what_is_in_use_and_anonymous_pages_only_if_asked_to() {
    let mut lru = four();
    lru.hot = [500, 100];
    lru.age(Duration::from_secs(900), false);
    assert_eq!(
        pages(&lru),
        [[300, 2_700], [300, 2_700], [400, 3_600], [0, 1_000]]
    );
    lru.age(Duration::from_secs(1_000), true);
    assert_eq!(lru.rows().last().unwrap().1.pages[ANON], 500);
    let mut lru = four();
    lru.working_set = [450, 4_500];
    lru.age(Duration::from_secs(900), true);
    assert_eq!(
        pages(&lru),
        [[300, 3_000], [250, 2_500], [0, 0], [450, 4_500]]
    );
}

#[test]
fn eviction_takes_from_the_oldest_generation_in_steps_or_exactly() {
    let cases = [
        (Reclaim::InStepsOf64, 1, 64),
        (Reclaim::InStepsOf64, 64, 64),
        (Reclaim::InStepsOf64, 65, 128),
        (Reclaim::ScansAtMost, 1, 1),
        (Reclaim::ScansAtMost, 65, 65),
    ];
    for (reclaim, most, freed) in cases {
        let mut lru = four();
        let done = lru.evict(7, 0, most, reclaim, &mut 0);
        assert_eq!(done.freed, [0, freed], "{reclaim:?} {most}");
        assert_eq!(lru.oldest(), [100, 1_000 - freed]);
        lru.check();
    }
}

#[test]
fn swappiness_chooses_the_type_and_swap_space_bounds_it() {
    let cases = [
        (0, 1_000, [0, 100]),
        (200, 1_000, [100, 0]),
        (100, 1_000, [50, 50]),
        (50, 1_000, [25, 75]),
        (200, 30, [30, 0]),
        (100, 0, [0, 50]),
    ];
    for (swappiness, swap, freed) in cases {
        let (mut lru, mut swap_free) = (four(), swap);
        let done = lru.evict(7, swappiness, 100, Reclaim::ScansAtMost, &mut swap_free);
        assert_eq!(done.freed, freed, "{swappiness} {swap}");
        assert_eq!(swap_free, swap - freed[ANON]);
        assert_eq!(done.scanned(), 100, "others move to the next generation");
    }
    let mut no_file = lru(&[[100, 0], [0, 9], [0, 9], [0, 9]]);
    let done = no_file.evict(7, 50, 64, Reclaim::ScansAtMost, &mut 1_000);
    assert_eq!(done.freed, [64, 0], "the other type where one has none");
}

#[test]
fn protected_pages_leave_the_generation_without_being_freed() {
    let mut lru = four();
    lru.protected = [0, 250];
    let done = lru.evict(7, 0, 100, Reclaim::ScansAtMost, &mut 0);
    assert_eq!((done.freed, done.moved), ([0, 75], [0, 25]));
    assert_eq!(pages(&lru)[..2], [[100, 900], [200, 2_025]]);
}

#[test]
fn an_empty_oldest_generation_is_gone_and_two_always_stay() {
    let mut lru = lru(&[[0, 100], [0, 0], [0, 5], [0, 5]]);
    lru.evict(7, 0, u64::MAX, Reclaim::ScansAtMost, &mut 0);
    assert_eq!((lru.min_seq(), lru.max_seq()), (9, 10));
    let mut anon_stays = self::lru(&[[1, 100], [0, 3], [0, 5], [0, 5]]);
    anon_stays.evict(7, 0, u64::MAX, Reclaim::InStepsOf64, &mut 0);
    assert_eq!(anon_stays.min_seq(), 7, "the lower one of both types");
    assert_eq!(anon_stays.min_seq_of(FILE), 8);
    anon_stays.check();
}

#[test]
fn commands_are_checked_as_the_kernel_does() {
    let (mut machine, id) = machine(Profile::OLD, four());
    let einval = Some(libc::EINVAL);
    let cases = [
        (format!("+ {id} 0 10 0 1"), None),
        (format!("+ {id} 0 12 0 1"), einval),
        (format!("- {id} 0 8 0 1"), None),
        (format!("- {id} 0 10 0 1"), einval),
        (format!("- {id} 0 8 200 1"), None),
        (format!("- {id} 0 8 max 1"), None),
        (format!("- {id} 0 8 201 1"), einval),
        (format!("- {id} 0 8 0"), None),
        (format!("- {id} 0 8"), None),
        (format!("- {id} 0"), einval),
        (format!("- {id} 0 8 0 1 1"), einval),
        (format!("- {id} 0 8 0 x"), einval),
        (format!("* {id} 0 8 0 1"), einval),
        (format!("- {id} 1 8 0 1"), einval),
        ("- 99 0 8 0 1".to_owned(), einval),
        ("- 0 0 8 0 1".to_owned(), einval),
        (" \n".to_owned(), None),
    ];
    for (command, error) in cases {
        assert_eq!(errno(machine.write(&command)), error, "{command:?}");
    }
}

#[test]
fn a_write_ends_at_the_first_command_that_fails() {
    let (mut machine, id) = machine(Profile::OLD, four());
    let text = format!("- {id} 0 7 0 1, - {id} 0 7 0 1;\n- 99 0 7 0 1\n- {id} 0 7 0 1");
    assert_eq!(errno(machine.write(&text)), Some(libc::EINVAL));
    assert_eq!(machine.cgroup("/a").lrus[&0].freed, [0, 128]);
    assert_eq!((machine.counters.writes, machine.counters.commands), (1, 3));
}

#[test]
fn stale_aging_depends_on_the_kernel() {
    for (stale_aging, agings) in [(StaleAging::Ignored, 0), (StaleAging::Obeyed, 1)] {
        let profile = Profile {
            stale_aging,
            ..Profile::OLD
        };
        let (mut machine, id) = machine(profile, four());
        assert_eq!(errno(machine.write(&format!("+ {id} 0 9 0 1"))), None);
        assert_eq!(machine.cgroup("/a").lrus[&0].agings, agings);
    }
}

#[test]
fn ids_are_reused_by_old_kernels_and_inode_numbers_in_new_ones() {
    let mut old = Machine::new(Profile::OLD);
    let id = old.create("/a").id;
    old.disturb(Disturbance::ReuseId {
        from: "/a".to_owned(),
        to: "/b".to_owned(),
    })
    .unwrap();
    assert_eq!(old.cgroup("/b").id, id);
    assert!(old.dump().unwrap().contains("memcg     0 /a\n"), "offline");
    let mut new = Machine::new(Profile::NEW);
    let cgroup = new.create("/a").clone();
    assert_eq!(cgroup.id, cgroup.ino);
    assert!(cgroup.id > 65_535);
    new.disturb(Disturbance::Recreate("/a".to_owned())).unwrap();
    assert_ne!(new.cgroup("/a").id, cgroup.id);
    assert_eq!(new.dump().unwrap().matches(" /a\n").count(), 2);
}

#[test]
fn dump_has_the_format_of_the_kernel() {
    let (mut machine, _) = machine(Profile::OLD, four());
    machine.create("/odd name");
    machine.advance(Duration::from_secs(1));
    let text = machine.dump().unwrap();
    assert!(
        text.contains(concat!(
            "memcg     2 /a\n",
            " node     0\n",
            "          7    1001000        100        1000 \n",
            "          8     901000        200        2000 \n",
        )),
        "{text}"
    );
    assert!(text.contains("memcg     3 /odd name\n"), "{text}");
    machine.advance(Duration::from_secs(5_000_000));
    let wrapped = (1_001_000 + 5_000_000_000_u64) % (1 << 32);
    assert!(machine.dump().unwrap().contains(&wrapped.to_string()));
}

#[test]
fn counts_of_a_type_without_the_generation_depend_on_the_kernel() {
    for (absent, printed) in [(Absent::Zero, " 0 "), (Absent::MinusZero, " -0 ")] {
        let profile = Profile {
            absent,
            ..Profile::OLD
        };
        let lru = lru(&[[1, 9], [0, 3], [0, 5], [0, 5]]);
        let (mut machine, id) = machine(profile, lru);
        machine.write(&format!("- {id} 0 7 0")).unwrap();
        let text = machine.dump().unwrap();
        let row = text
            .lines()
            .find(|row| row.contains("          7 "))
            .unwrap();
        assert!(row.ends_with(printed), "{row:?}");
    }
}

#[test]
fn memory_snapshot_and_text_agree_on_every_random_machine() {
    for seed in 0..200 {
        let mut machine = sim::random::machine(&mut Rng::new(seed), 12);
        machine.check();
        let text = machine.dump().unwrap();
        let simulator = Simulator::new(machine);
        let snapshot = simulator.snapshot(None).unwrap();
        let dump = Dump::parse(text.as_bytes(), Wanted::All);
        assert_eq!(dump.malformed, 0, "{text}");
        let parsed: Vec<_> = dump
            .memcgs()
            .map(|memcg| {
                let nodes = memcg.nodes().map(|node| {
                    let oldest = node.oldest();
                    (
                        node.node,
                        oldest.seq,
                        node.max_seq(),
                        node.youngest_age_ms(),
                        oldest.anon,
                        oldest.file,
                    )
                });
                (
                    memcg.path().to_owned(),
                    memcg.id(),
                    nodes.collect::<Vec<_>>(),
                )
            })
            .collect();
        let direct: Vec<_> = snapshot
            .iter()
            .map(|look| {
                let nodes = look.nodes.iter().map(|n| {
                    (
                        n.node,
                        n.min_seq,
                        n.max_seq,
                        n.youngest_age_ms,
                        n.anon,
                        n.file,
                    )
                });
                (look.path.to_owned(), look.id, nodes.collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(parsed, direct, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_machine() {
    let dump = |seed| {
        sim::random::machine(&mut Rng::new(seed), 12)
            .dump()
            .unwrap()
    };
    assert_eq!(dump(4), dump(4));
    assert_ne!(dump(4), dump(5));
}

#[test]
fn pressure_of_a_parent_keeps_that_of_children_that_are_gone() {
    let mut machine = Machine::new(Profile::NEW);
    machine.create("/a/b").stalled.memory = 700;
    machine.cgroup_mut("/a").stalled.memory = 50;
    assert_eq!(machine.totals("/a").memory, 750);
    machine.remove("/a/b");
    assert_eq!(machine.totals("/a").memory, 750);
    machine.create("/a/b").stalled.memory = 1;
    let simulator = Simulator::new(machine);
    let pressure = simulator.pressure("".as_ref(), "/a").unwrap();
    assert_eq!(pressure.total.memory, 751);
    assert_eq!(pressure.children.len(), 1);
    assert_eq!(pressure.children[0].0, "b");
    assert!(simulator.pressure("".as_ref(), "/gone").is_err());
}

#[test]
fn working_sets_come_back_and_stall_and_give_swap_space_back() {
    let (mut machine, id) = machine(Profile::NEW, lru(&[[100, 900], [0, 0], [0, 0], [0, 0]]));
    machine.set_swap(1_000);
    machine.cgroup_mut("/a").lru_mut(0).working_set = [100, 500];
    machine
        .write(&format!("- {id} 0 7 0 900\n- {id} 0 7 200 100"))
        .unwrap();
    machine.advance(Duration::from_secs(1));
    let cgroup = machine.cgroup("/a");
    assert_eq!((cgroup.resident(ANON), cgroup.resident(FILE)), (100, 500));
    assert_eq!((cgroup.reclaimed, cgroup.refaulted), (1_000, 600));
    let us = machine.costs.refault_us;
    assert_eq!(
        (cgroup.stalled.memory, cgroup.stalled.io),
        (100 * us, 500 * us)
    );
    assert_eq!(machine.swap_free, 1_000);
}

#[test]
fn disturbances_come_before_the_command_with_their_number() {
    let (mut machine, id) = machine(Profile::OLD, four());
    machine.disturb_at(2, Disturbance::Fail(libc::EBUSY));
    machine.disturb_at(3, Disturbance::Remove("/a".to_owned()));
    let command = format!("- {id} 0 7 0 64");
    assert_eq!(errno(machine.write(&command)), None);
    assert_eq!(errno(machine.write(&command)), Some(libc::EBUSY));
    assert_eq!(errno(machine.write(&command)), Some(libc::EINVAL));
    machine.failing_reads.insert(2);
    assert!(machine.dump().is_ok());
    assert!(machine.dump().is_err());
    assert!(machine.dump().is_ok());
}

#[test]
fn numa_nodes_come_and_go_with_their_pages() {
    let (mut machine, id) = machine(Profile::OLD, four());
    machine.add_node(3);
    assert_eq!(machine.cgroup("/a").lrus[&3].max_seq(), 3);
    machine.remove_node(0);
    assert_eq!(machine.current("/a"), 0);
    assert_eq!(
        errno(machine.write(&format!("+ {id} 0 10"))),
        Some(libc::EINVAL)
    );
    machine.remove_node(3);
    assert_eq!(machine.nodes().collect::<Vec<_>>(), [3], "one stays");
    machine.check();
}

#[test]
fn memory_reclaim_honours_protection_and_says_when_it_was_less() {
    let (mut machine, _) = machine(Profile::NEW, lru(&[[0, 1_000], [0, 500], [0, 0], [0, 0]]));
    machine.cgroup_mut("/a").low = 600 * sim::PAGE;
    let some = Some(0);
    assert_eq!(errno(machine.reclaim("/a", 4096, some)), Some(libc::EINVAL));
    machine.features.reclaim_swappiness = true;
    assert_eq!(errno(machine.reclaim("/a", 100 * sim::PAGE, some)), None);
    assert_eq!(
        errno(machine.reclaim("/a", 1_000 * sim::PAGE, some)),
        Some(libc::EAGAIN)
    );
    assert_eq!(machine.current("/a"), 600 * sim::PAGE);
}

#[test]
fn free_memory_breaks_into_fragments_that_compaction_puts_together() {
    let mut memory = Memory::new(1 << 20);
    assert_eq!(parse_pagetypeinfo(&memory.pagetypeinfo(), 9), 0);
    memory.allocate(512_000);
    memory.release(300_000);
    let fragments = memory.fragments();
    assert!(fragments >= 300_000);
    assert_eq!(parse_pagetypeinfo(&memory.pagetypeinfo(), 9), fragments);
    memory.immovable = 1_000;
    memory.compact(100_000);
    assert_eq!(memory.fragments(), fragments - 100_000);
    memory.compact(u64::MAX);
    assert_eq!(memory.fragments(), 1_000);
    assert!(memory.is_compact());
    let text = memory.meminfo(500, 300);
    assert_eq!(
        parse_meminfo(text.as_bytes(), "MemFree:").unwrap(),
        memory.free_pages() * 4
    );
    assert_eq!(parse_meminfo(text.as_bytes(), "SwapFree:").unwrap(), 1_200);
}

#[test]
fn files_follow_the_machine() {
    let mut machine = Machine::new(Profile::OLD);
    machine.create("/a/b c").stalled.memory = 77;
    let simulator = Simulator::new(machine);
    let tree = Tree::new(simulator.clone()).unwrap();
    let cgroups = tree.root().join("sys/fs/cgroup");
    let total = |path: &str| parse_pressure(&fs::read(cgroups.join(path)).unwrap()).unwrap();
    assert_eq!(total("a/b c/memory.pressure"), 77);
    assert_eq!(total("memory.pressure"), 77);
    let env = tree.env();
    env.clock.sleep(Duration::from_secs(5));
    assert_eq!(env.clock.now(), simulator.now());
    simulator.machine().cgroup_mut("/a/b c").has_psi = false;
    simulator.machine().create("/d");
    tree.sync().unwrap();
    assert!(!cgroups.join("a/b c/memory.pressure").exists());
    assert!(cgroups.join("d/io.pressure").exists());
    simulator.machine().remove("/a");
    tree.sync().unwrap();
    assert!(!cgroups.join("a").exists());
    assert!(tree.root().join("proc/pagetypeinfo").exists());
}

#[test]
fn a_cgroup_made_anew_has_another_directory() {
    use std::os::unix::fs::MetadataExt;
    let mut machine = Machine::new(Profile::OLD);
    machine.create("/a/b");
    let simulator = Simulator::new(machine);
    let tree = Tree::new(simulator.clone()).unwrap();
    let ino = |path: &str| {
        let path = tree.root().join("sys/fs/cgroup").join(path);
        fs::metadata(path).unwrap().ino()
    };
    let before: HashSet<u64> = [ino("a"), ino("a/b")].into();
    let recreate = |path: &str| {
        let disturbance = Disturbance::Recreate(path.to_owned());
        simulator.machine().disturb(disturbance).unwrap();
        tree.sync().unwrap();
    };
    recreate("/a/b");
    assert!(before.contains(&ino("a")) && !before.contains(&ino("a/b")));
    recreate("/a");
    assert!(!before.contains(&ino("a")));
}

#[test]
fn ten_thousand_cgroups_are_no_problem() {
    let mut machine = Machine::new(Profile {
        ids: Ids::Private16,
        ..Profile::OLD
    });
    for n in 0..10_000 {
        machine.create(&format!("/pod{n}"));
    }
    assert_eq!(machine.path_of(10_001), Some("/pod9999"));
    let text = machine.dump().unwrap();
    let wanted = HashSet::from(["/pod5000".to_owned()]);
    let dump = Dump::parse(text.as_bytes(), Wanted::Paths(&wanted));
    assert_eq!(dump.memcgs().count(), 1);
}
