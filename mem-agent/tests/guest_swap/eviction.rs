//! Who is evicted from, who is not, and what stops an eviction.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mem_agent::agent::MemAgent;
use mem_agent::env::Env;
use mem_agent::memcg::{
    Actuator, CgroupOptionConfig, Config, OptionConfig, SingleConfig, SingleOptionConfig,
};
use test_utils::skip_if_not_guest;

use crate::common::{compact_off, wait};
use crate::guest::{
    Cgroup, FastLru, Use, agent_for, agings, config_for, kernel_id, stalling_cgroup_is_passed_over,
    swapping, tireless, total, until,
};

/// 8 MiB.
const PAGES: u64 = 2048;

/// A change of the settings of one cgroup.
fn set(agent: &MemAgent, cgroup: &Cgroup, config: SingleOptionConfig) {
    let change = CgroupOptionConfig {
        path: cgroup.path().to_owned(),
        config,
        ..Default::default()
    };
    let change = OptionConfig {
        set: vec![change],
        ..Default::default()
    };
    wait(agent.memcg_set_config_async(change)).unwrap();
}

#[test]
fn cold_memory_goes_to_swap_and_hot_memory_stays() {
    skip_if_not_guest!();
    let (cold, hot) = (Cgroup::new("cold"), Cgroup::new("hot"));
    let _cold = cold.start(Use::Cold, PAGES as usize);
    let _hot = hot.start(Use::Hot, PAGES as usize);
    // Cold is what has not been used for about six seconds.
    let lru = FastLru::new(30);
    let (agent, guard) = agent_for(&lru, &[(&cold, swapping()), (&hot, swapping())]);
    until("half of the cold memory is in swap", || {
        cold.swapped_pages() >= PAGES / 2
    });
    until("hot memory has been looked at as often", || {
        agings(&agent, &hot) >= 5
    });
    drop(guard);
    assert!(hot.pages() >= PAGES);
    let back = hot.stat("workingset_refault_anon");
    assert!(back < PAGES / 16, "{back} hot pages have been evicted");
}

/// D14.
#[test]
fn swap_can_be_allowed_live() {
    skip_if_not_guest!();
    let cgroup = Cgroup::new("swap-live");
    let _process = cgroup.start(Use::Cold, PAGES as usize);
    let lru = FastLru::instant();
    let (agent, _guard) = agent_for(&lru, &[(&cgroup, tireless())]);
    until("it would have been evicted from", || {
        agings(&agent, &cgroup) >= 4
    });
    assert_eq!(cgroup.swapped_pages(), 0, "swap is off");
    let change = SingleOptionConfig {
        swap: Some(true),
        ..Default::default()
    };
    set(&agent, &cgroup, change);
    until("half of it is in swap", || {
        cgroup.swapped_pages() >= PAGES / 2
    });
}

/// D14, D31.
#[test]
fn disabling_stops_an_eviction_and_enabling_resumes_it() {
    skip_if_not_guest!();
    let cgroup = Cgroup::with_cold_file("disabled-live", PAGES);
    let other = Cgroup::new("beside-disabled-live");
    let disabled = |disabled| SingleOptionConfig {
        disabled: Some(disabled),
        ..Default::default()
    };
    let lru = FastLru::instant();
    let off = SingleConfig {
        disabled: true,
        ..tireless()
    };
    let (agent, _guard) = agent_for(&lru, &[(&cgroup, off), (&other, tireless())]);
    until("both are known", || {
        kernel_id(&agent, &cgroup).is_some() && agings(&agent, &other) > 0
    });
    let id = kernel_id(&agent, &cgroup).unwrap();
    let eviction = format!("- {id} ");
    assert_eq!(lru.count(&format!("+ {id} ")), 0, "it is disabled");

    let evictions = AtomicUsize::new(0);
    let target = Arc::new(cgroup);
    let hook = {
        let (agent, target, eviction) = (agent.clone(), target.clone(), eviction.clone());
        move |command: &str| {
            if command.starts_with(&eviction) && evictions.fetch_add(1, Ordering::Relaxed) == 2 {
                set(&agent, &target, disabled(true));
            }
        }
    };
    lru.set_hook(hook);
    set(&agent, &target, disabled(false));
    until("it has been disabled again", || lru.count(&eviction) >= 3);
    let then = agings(&agent, &other);
    until("there have been more runs", || {
        agings(&agent, &other) >= then + 2
    });
    assert_eq!(lru.count(&eviction), 3, "nothing is evicted any more");
    assert!(target.pages() > PAGES / 2);

    set(&agent, &target, disabled(false));
    until("half has been evicted", || target.pages() <= PAGES / 2);
}

/// M5.
#[test]
fn cgroup_that_stalls_is_passed_over() {
    skip_if_not_guest!();
    stalling_cgroup_is_passed_over();
}

/// E1.3.
#[test]
fn pressure_ends_an_eviction() {
    skip_if_not_guest!();
    let cgroup = Cgroup::with_cold_file("stalls-later", PAGES);
    let config = SingleConfig {
        period_secs: 3600,
        eviction_psi_percent_limit: 0,
        ..tireless()
    };
    let stalling = cgroup.start_stalling();
    let lru = FastLru::instant();
    let (agent, _guard) = agent_for(&lru, &[(&cgroup, config)]);
    until("the eviction has ended", || {
        total(&agent, &cgroup, |numa| {
            numa.eviction_count.psi_exceeds_limit
        }) == 1
    });
    assert!(cgroup.pages() >= PAGES / 2, "there is more to evict");
    drop(stalling);
    let change = SingleOptionConfig {
        period_secs: Some(1),
        eviction_psi_percent_limit: Some(u8::MAX),
        ..Default::default()
    };
    set(&agent, &cgroup, change);
    until("half has been evicted", || cgroup.pages() <= PAGES / 2);
}

/// D31.
#[test]
fn shutdown_stops_an_eviction() {
    skip_if_not_guest!();
    let cgroup = Cgroup::with_cold_file("shutdown", PAGES);
    let guard = Arc::new(Mutex::new(None));
    let lru = FastLru::instant();
    let evictions = AtomicUsize::new(0);
    let hook = {
        let guard = guard.clone();
        move |command: &str| {
            if command.starts_with('-') && evictions.fetch_add(1, Ordering::Relaxed) == 2 {
                drop(guard.lock().unwrap().take());
            }
        }
    };
    lru.set_hook(hook);
    let agent = {
        let mut guard = guard.lock().unwrap();
        let (agent, new) = agent_for(&lru, &[(&cgroup, tireless())]);
        *guard = Some(new);
        agent
    };
    until("its threads have ended", || Arc::strong_count(&lru) == 1);
    assert_eq!(lru.count("-"), 3);
    assert!(cgroup.pages() > PAGES / 2);
    assert!(wait(agent.memcg_status_async()).is_err());
}

/// Linux 6.1 cannot be told to leave anonymous pages alone by `memory.reclaim`.
#[test]
fn memory_reclaim_does_not_swap_unasked() {
    skip_if_not_guest!();
    let cgroup = Cgroup::new("reclaim");
    let _process = cgroup.start(Use::Cold, PAGES as usize);
    cgroup.read_file(PAGES);
    let before = cgroup.pages();
    let env = Env {
        lru_gen: Some(FastLru::instant()),
        ..Env::default()
    };
    let config = Config {
        actuator: Actuator::MemoryReclaim,
        ..config_for(&[(&cgroup, tireless())])
    };
    let (_agent, _guard) = MemAgent::with_env(env, config, compact_off()).unwrap();
    until("half of the file has been evicted", || {
        cgroup.pages() <= before - PAGES / 2
    });
    assert_eq!(cgroup.swapped_pages(), 0);
}
