//! What the agent does to a simulated machine, and what it costs (spec 7.1, 7.2).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod sim;

use std::sync::Arc;
use std::time::Duration;

use mem_agent::compact::{self, Compact};
use mem_agent::memcg::{
    Actuator, CgroupConfig, Config, EvictionCount, MemCG, OptionConfig, SingleConfig,
    SingleOptionConfig,
};

use sim::{
    ANON, Cgroup, Counters, Disturbance, FILE, Generation, Lru, Machine, PAGE, Profile, Reclaim,
    Rng, Simulator, Tree, random,
};

/// Pages of 1 GiB.
const GIB: u64 = (1 << 30) / PAGE;

/// So many anonymous and file pages that have not been used for long.
fn cold(anon: u64, file: u64) -> Lru {
    let generation = |(age, pages): (u64, [u64; 2])| Generation {
        born: Duration::from_secs(1_000 - age),
        pages,
    };
    let ages = [
        (900, [anon, file]),
        (600, [0, 0]),
        (300, [0, 0]),
        (100, [0, 0]),
    ];
    Lru::with_generations(0, ages.into_iter().map(generation).collect())
}

/// Evicts from the first run on.
fn eager() -> SingleConfig {
    SingleConfig {
        eviction_run_aging_count_min: 0,
        ..Default::default()
    }
}

fn config(default: SingleConfig) -> Config {
    Config {
        default,
        ..Default::default()
    }
}

fn agent(simulator: &Simulator, config: Config) -> MemCG {
    MemCG::with_host(Arc::new(simulator.clone()), config).unwrap()
}

/// Waits for the next run, and lets it happen. Returns how long it took.
fn run(simulator: &Simulator, memcg: &mut MemCG) -> Duration {
    let wait = memcg.get_remaining_tokio_duration();
    simulator.machine().advance(wait);
    let began = simulator.machine().now();
    let due = memcg.get_timeout_list();
    assert!(!due.is_empty());
    memcg.work(&due).unwrap();
    memcg.reset_timers(&due);
    simulator.machine().now() - began
}

/// A machine with so many pods, of which the first has these pages.
fn machine(profile: Profile, pods: usize, lru: Lru) -> Machine {
    let mut machine = Machine::new(profile);
    machine.memory.total = 4 * GIB;
    for n in 0..pods {
        machine.create(&format!("/pod{n}"));
    }
    machine
        .memory
        .allocate(lru.resident(ANON) + lru.resident(FILE));
    machine.cgroup_mut("/pod0").lrus.insert(0, lru);
    machine.advance(Duration::from_secs(100)); // those of the others are not too young
    machine
}

fn pod0(simulator: &Simulator) -> Cgroup {
    simulator.machine().cgroup("/pod0").clone()
}

fn counters(simulator: &Simulator) -> Counters {
    simulator.machine().counters
}

fn ends(memcg: &MemCG) -> EvictionCount {
    memcg.status()["/pod0"].numa[&0].eviction_count.clone()
}

const PROFILES: [Profile; 2] = [Profile::OLD, Profile::NEW];

#[test]
fn a_gigabyte_among_a_thousand_cgroups_takes_few_commands_and_few_looks() {
    for profile in PROFILES {
        let simulator = Simulator::new(machine(profile, 1_000, cold(0, GIB)));
        let mut memcg = agent(&simulator, config(eager()));
        simulator.machine().log = Some(Vec::new());
        let before = counters(&simulator);
        let time = run(&simulator, &mut memcg);
        let after = counters(&simulator);
        let log = simulator.machine().log.take().unwrap();
        let batches = log.iter().filter(|(command, _)| command.starts_with('-'));
        let sizes = batches.map(|(command, _)| command.rsplit(' ').next().unwrap());
        let largest: u64 = sizes.map(|size| size.parse().unwrap()).max().unwrap();
        assert_eq!(largest, 16_384);
        let (evictions, reads) = (
            after.evictions - before.evictions,
            after.reads - before.reads,
        );
        println!("{profile:?}: {evictions} commands, {reads} reads, {time:?}");
        assert_eq!(pod0(&simulator).reclaimed, GIB, "{profile:?}");
        assert_eq!(ends(&memcg).page, GIB);
        assert!(evictions <= 300, "{profile:?}: {evictions} commands");
        assert!(reads <= 60, "{profile:?}: {reads} reads");
    }
}

#[test]
fn a_gigabyte_of_anonymous_pages_is_swapped_out_as_cheaply() {
    for profile in PROFILES {
        let mut machine = machine(profile, 1_000, cold(GIB, 0));
        machine.set_swap(2 * GIB);
        let simulator = Simulator::new(machine);
        let swap = SingleConfig {
            swap: true,
            ..eager()
        };
        let mut memcg = agent(&simulator, config(swap));
        let before = counters(&simulator);
        run(&simulator, &mut memcg);
        let after = counters(&simulator);
        assert_eq!(pod0(&simulator).reclaimed, GIB, "{profile:?}");
        assert_eq!(simulator.machine().swap_free, GIB);
        assert!(after.evictions - before.evictions <= 300, "{after:?}");
        assert!(after.reads - before.reads <= 60, "{after:?}");
    }
}

#[test]
fn memory_reclaim_takes_few_writes_for_a_gigabyte_and_no_eviction_command() {
    let mut machine = machine(Profile::NEW, 1_000, cold(0, GIB));
    machine.features.reclaim = true;
    machine.features.reclaim_swappiness = true;
    let simulator = Simulator::new(machine);
    let config = Config {
        actuator: Actuator::MemoryReclaim,
        ..config(eager())
    };
    let mut memcg = agent(&simulator, config);
    let before = counters(&simulator);
    run(&simulator, &mut memcg);
    let after = counters(&simulator);
    assert_eq!(pod0(&simulator).reclaimed, GIB);
    assert_eq!(memcg.status()["/pod0"].reclaimed_pages(), GIB);
    assert_eq!(after.evictions, 0);
    assert!(after.reclaims <= 300, "{after:?}");
    assert!(after.reads - before.reads <= 60, "{after:?}");
}

#[test]
fn pages_that_come_back_end_a_reclaim_and_lessen_the_next_ones() {
    let mut machine = machine(Profile::NEW, 1, cold(0, GIB));
    machine.features.reclaim = true;
    machine.features.reclaim_swappiness = true;
    machine.costs.refault_us = 0; // no pressure: refaults alone must tell
    machine.cgroup_mut("/pod0").lru_mut(0).unseen = [0, GIB];
    let simulator = Simulator::new(machine);
    let config = Config {
        actuator: Actuator::MemoryReclaim,
        ..config(eager())
    };
    let mut memcg = agent(&simulator, config);
    run(&simulator, &mut memcg);
    let refaulted = pod0(&simulator).refaulted;
    assert!(ends(&memcg).psi_exceeds_limit == 1 && refaulted > 0);
    assert!(refaulted < GIB / 20, "{refaulted} pages came back");
}

#[test]
fn aging_finds_the_working_set_and_eviction_leaves_it_alone() {
    for profile in PROFILES {
        let mut lru = cold(GIB / 4, GIB / 2);
        lru.working_set = [GIB / 4, GIB / 8];
        let mut machine = machine(profile, 1, lru);
        machine.set_swap(GIB);
        let simulator = Simulator::new(machine);
        let swap = SingleConfig {
            swap: true,
            ..Default::default()
        };
        let mut memcg = agent(&simulator, config(swap));
        for _ in 0..24 {
            run(&simulator, &mut memcg);
        }
        let pod = pod0(&simulator);
        assert_eq!(pod.refaulted, 0, "{profile:?}");
        assert_eq!(pod.reclaimed, GIB / 2 - GIB / 8);
        assert_eq!((pod.resident(ANON), pod.resident(FILE)), (GIB / 4, GIB / 8));
    }
}

#[test]
fn a_hot_cgroup_loses_nothing() {
    let mut lru = cold(1_000, GIB / 4);
    lru.hot = [1_000, 1_000];
    let simulator = Simulator::new(machine(Profile::OLD, 1, lru));
    let mut memcg = agent(&simulator, config(eager()));
    for _ in 0..10 {
        run(&simulator, &mut memcg);
    }
    let pod = pod0(&simulator);
    assert_eq!((pod.reclaimed, pod.refaulted), (0, 0));
    assert_eq!(counters(&simulator).evictions, 0);
}

#[test]
fn a_cgroup_is_left_alone_while_it_or_an_ancestor_is_protected() {
    type Protect = fn(&mut Machine);
    let cases: [(&str, Protect, u64); 5] = [
        ("low", |m| m.cgroup_mut("/pod0").low = u64::MAX, 0),
        ("min", |m| m.cgroup_mut("/pod0").min = 1 << 30, 0),
        ("of an ancestor", |m| m.cgroup_mut("/").low = 2 << 30, 0),
        (
            "less than there is",
            |m| m.cgroup_mut("/pod0").low = 1 << 20,
            GIB / 2 - 256,
        ),
        (
            "of a sibling",
            |m| m.cgroup_mut("/pod1").min = u64::MAX,
            GIB / 2,
        ),
    ];
    for (name, protect, least) in cases {
        let mut machine = machine(Profile::OLD, 2, cold(0, GIB / 2));
        protect(&mut machine);
        let simulator = Simulator::new(machine);
        let mut memcg = agent(&simulator, config(eager()));
        run(&simulator, &mut memcg);
        let reclaimed = pod0(&simulator).reclaimed;
        if least == 0 {
            assert_eq!(reclaimed, 0, "{name}");
        } else {
            assert!(reclaimed + 20_000 >= least, "{name}: {reclaimed}");
        }
    }
}

#[test]
fn pressure_ends_an_eviction_and_closes_the_gate() {
    let mut machine = machine(Profile::OLD, 1, cold(0, GIB));
    machine.cgroup_mut("/pod0").stall_ns = 20_000;
    let simulator = Simulator::new(machine);
    let mut memcg = agent(&simulator, config(eager()));
    run(&simulator, &mut memcg);
    let reclaimed = pod0(&simulator).reclaimed;
    assert_eq!(ends(&memcg).psi_exceeds_limit, 1);
    // 1 % of 500 ms are 250 pages of 20 µs; a look comes after four batches.
    assert!(reclaimed <= 4 * 256, "{reclaimed}");
    simulator.machine().cgroup_mut("/pod0").stalled.io += 30_000_000;
    run(&simulator, &mut memcg);
    let status = memcg.status();
    assert_eq!(status["/pod0"].numa[&0].sleep_psi_exceeds_limit, 1);
    assert_eq!(pod0(&simulator).reclaimed, reclaimed);
}

#[test]
fn moderate_pressure_slows_an_eviction_down_but_does_not_end_it() {
    let mut machine = machine(Profile::OLD, 1, cold(0, GIB / 4));
    machine.cgroup_mut("/pod0").stall_ns = 500;
    let simulator = Simulator::new(machine);
    let limit = SingleConfig {
        eviction_psi_percent_limit: 20,
        ..eager()
    };
    let mut memcg = agent(&simulator, config(limit));
    let time = run(&simulator, &mut memcg);
    assert_eq!(pod0(&simulator).reclaimed, GIB / 4);
    assert!(time < Duration::from_secs(300), "{time:?}");
}

#[test]
fn a_trigger_stops_batches_before_the_next_look() {
    let reclaimed = [false, true].map(|triggers| {
        let mut machine = machine(Profile::OLD, 1, cold(0, GIB));
        machine.features.triggers = triggers;
        machine.cgroup_mut("/pod0").stall_ns = 100_000;
        let simulator = Simulator::new(machine);
        let mut memcg = agent(&simulator, config(eager()));
        run(&simulator, &mut memcg);
        assert_eq!(ends(&memcg).psi_exceeds_limit, 1);
        pod0(&simulator).reclaimed
    });
    assert!(reclaimed[1] < reclaimed[0], "{reclaimed:?}");
}

#[test]
fn a_slow_kernel_does_not_keep_a_run_beyond_half_of_its_period() {
    for (period, most) in [(600, 300), (61, 31), (1, 10)] {
        let mut machine = machine(Profile::OLD, 1, cold(0, GIB));
        machine.costs.page_ns = 5_000_000;
        let simulator = Simulator::new(machine);
        let slow = SingleConfig {
            period_secs: period,
            ..eager()
        };
        let mut memcg = agent(&simulator, config(slow));
        let time = run(&simulator, &mut memcg);
        // Four batches of 64 pages, at 5 ms each, may be under way.
        let slack = Duration::from_secs(2);
        assert!(time >= Duration::from_secs(most), "{time:?}");
        let reclaimed = pod0(&simulator).reclaimed;
        assert!(reclaimed < GIB && reclaimed > 0, "{reclaimed}");
        let longest = Duration::from_secs(most) + slack + largest_batch(&simulator);
        assert!(time <= longest, "{period}: {time:?}");
    }
}

/// How long the largest batch takes.
fn largest_batch(simulator: &Simulator) -> Duration {
    Duration::from_nanos(simulator.machine().costs.page_ns * 16_384)
}

#[test]
fn nothing_is_swapped_out_without_swap_or_when_swap_space_is_used_up() {
    for (swap, space) in [(false, GIB), (true, 0), (true, 256)] {
        let mut machine = machine(Profile::NEW, 1, cold(10_000, 10_000));
        machine.set_swap(space);
        let simulator = Simulator::new(machine);
        let config = config(SingleConfig { swap, ..eager() });
        let mut memcg = agent(&simulator, config);
        run(&simulator, &mut memcg);
        assert_eq!(simulator.machine().swap_free, space, "{swap} {space}");
        assert_eq!(pod0(&simulator).resident(FILE), 0);
    }
}

#[test]
fn entries_of_the_configuration_count_for_their_cgroups() {
    let simulator = Simulator::new(machine(Profile::OLD, 2, cold(0, GIB / 4)));
    let off = CgroupConfig {
        config: SingleConfig {
            disabled: true,
            ..Default::default()
        },
        ..Default::default()
    };
    let config = Config {
        cgroups: [("pod0/".to_owned(), vec![off])].into(),
        ..config(eager())
    };
    let mut memcg = agent(&simulator, config);
    run(&simulator, &mut memcg);
    assert_eq!(pod0(&simulator).reclaimed, 0);
    assert_eq!(counters(&simulator).agings, 2, "the root and pod1");
    let change = OptionConfig {
        del: vec![("/pod0".to_owned(), vec![])],
        ..Default::default()
    };
    assert!(memcg.change(&change).unwrap());
    run(&simulator, &mut memcg);
    assert_eq!(pod0(&simulator).reclaimed, GIB / 4);
}

#[test]
fn a_change_of_swap_counts_from_the_next_run_on() {
    let mut machine = machine(Profile::NEW, 1, cold(10_000, 0));
    machine.set_swap(GIB);
    let simulator = Simulator::new(machine);
    let mut memcg = agent(&simulator, config(eager()));
    run(&simulator, &mut memcg);
    assert_eq!(pod0(&simulator).reclaimed, 0);
    let default = SingleOptionConfig {
        swap: Some(true),
        ..Default::default()
    };
    let change = OptionConfig {
        default,
        ..Default::default()
    };
    memcg.change(&change).unwrap();
    run(&simulator, &mut memcg);
    assert_eq!(pod0(&simulator).reclaimed, 10_000);
}

#[test]
fn ten_thousand_cgroups_are_aged_in_one_run() {
    let simulator = Simulator::new(machine(Profile::OLD, 10_000, cold(0, 1_000)));
    let mut memcg = agent(&simulator, config(eager()));
    run(&simulator, &mut memcg);
    let counters = counters(&simulator);
    assert_eq!(counters.agings, 10_001);
    assert_eq!(counters.refused, 0);
    assert_eq!(pod0(&simulator).reclaimed, 1_000);
}

#[test]
fn a_command_that_fails_ends_only_its_own_eviction() {
    for error in [libc::EINTR, libc::EBUSY, libc::ENOMEM] {
        let mut machine = machine(Profile::OLD, 3, cold(0, 50_000));
        let lru = cold(0, 50_000);
        machine.cgroup_mut("/pod1").lrus.insert(0, lru);
        // After the agings: the joined write, then the one for pod0 alone.
        machine.disturb_at(5, Disturbance::Fail(error));
        machine.disturb_at(7, Disturbance::Remove("/pod0".to_owned()));
        let simulator = Simulator::new(machine);
        let mut memcg = agent(&simulator, config(eager()));
        run(&simulator, &mut memcg);
        assert_eq!(simulator.machine().cgroup("/pod1").reclaimed, 50_000);
    }
}

/// The whole way, through files and the parser, and the short one give the same commands.
#[test]
fn files_and_memory_lead_to_the_same_commands() {
    for seed in 0..4 {
        let logs = [false, true].map(|through_files| {
            let mut rng = Rng::new(seed);
            let mut machine = random::machine(&mut rng, 6);
            machine.log = Some(Vec::new());
            machine.profile.reclaim = Reclaim::ScansAtMost;
            let simulator = Simulator::new(machine);
            let tree = Tree::new(simulator.clone()).unwrap();
            let config = config(SingleConfig {
                swap: seed % 2 == 0,
                ..eager()
            });
            let mut memcg = if through_files {
                MemCG::with_env(tree.env(), config).unwrap()
            } else {
                agent(&simulator, config)
            };
            for _ in 0..3 {
                run(&simulator, &mut memcg);
                tree.sync().unwrap();
            }
            simulator.machine().log.take().unwrap()
        });
        assert!(!logs[0].is_empty());
        assert_eq!(logs[0], logs[1], "seed {seed}");
    }
}

/// A machine whose free memory is in fragments, as files.
fn fragmented() -> (Simulator, Tree) {
    let mut machine = machine(Profile::OLD, 1, cold(0, GIB));
    machine.memory.release(GIB / 2);
    let simulator = Simulator::new(machine);
    let tree = Tree::new(simulator.clone()).unwrap();
    (simulator, tree)
}

#[test]
fn compaction_makes_large_blocks_of_fragments() {
    let (simulator, tree) = fragmented();
    let mut compact = Compact::with_env(tree.env(), compact::Config::default()).unwrap();
    let before = simulator.machine().memory.clone();
    assert!(compact.need_work());
    compact.work().unwrap();
    compact.reset_timer();
    let after = simulator.machine().memory.clone();
    assert_eq!(after.compactions, 1);
    assert_eq!(after.fragments(), 0);
    assert!(after.reportable() >= before.reportable() + GIB / 2);
    assert!(!compact.need_work());
    simulator.machine().advance(Duration::from_secs(600));
    compact.work().unwrap();
    assert_eq!(
        simulator.machine().memory.compactions,
        1,
        "nothing has changed"
    );
}

#[test]
fn compaction_ends_under_pressure_and_in_time() {
    let (simulator, tree) = fragmented();
    simulator.machine().costs.compaction = 10;
    let config = compact::Config {
        compact_sec_max: 7,
        ..Default::default()
    };
    let mut compact = Compact::with_env(tree.env(), config).unwrap();
    let began = simulator.machine().now();
    compact.work().unwrap();
    let elapsed = simulator.machine().now() - began;
    assert!((7..=9).contains(&elapsed.as_secs()), "{elapsed:?}");
    assert!(simulator.machine().memory.fragments() > 0);
}

/// One batch of each takes longer than the run may.
#[test]
fn very_many_cgroups_do_not_make_a_run_longer() {
    let mut machine = machine(Profile::OLD, 200, cold(0, GIB));
    for n in 1..200 {
        let cgroup = machine.cgroup_mut(&format!("/pod{n}"));
        cgroup.lrus.insert(0, cold(0, GIB));
    }
    let simulator = Simulator::new(machine);
    let mut memcg = agent(
        &simulator,
        config(SingleConfig {
            period_secs: 60,
            ..eager()
        }),
    );
    let time = run(&simulator, &mut memcg);
    let budget = Duration::from_secs(30);
    let aging_and_last_write = Duration::from_secs(1);
    assert!(time >= budget, "{time:?}");
    assert!(time <= budget + aging_and_last_write, "{time:?}");
}
