//! After the global logger: slog-scope panics for each record when the guard has been dropped. Alone
//! in its process, as the logger is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod common;

use common::{FakeLru, Machine, compact_off, eager, memcg_config};
use mem_agent::agent::MemAgent;
use mem_agent::{compact, memcg};
use slog::{Discard, Logger, o};

/// A change that is made is not told to be refused, and the agent goes on.
#[test]
fn agent_answers_after_the_logger_is_gone() {
    drop(slog_scope::set_global_logger(Logger::root(Discard, o!())));
    let machine = Machine::v2();
    let lru = FakeLru::new(&[(19, "/pod7/web", &[(0, 500), (0, 0), (0, 0)])]);
    let env = machine.env_with(&lru);
    let (agent, guard) = MemAgent::with_env(env, memcg_config(eager()), compact_off()).unwrap();
    lru.take_reads();
    guard.block_on(async {
        let swap = memcg::SingleOptionConfig {
            swap: Some(true),
            ..Default::default()
        };
        let change = memcg::OptionConfig {
            default: swap,
            ..Default::default()
        };
        agent.memcg_set_config_async(change).await.unwrap();
        let change = compact::OptionConfig {
            compact_sec_max: Some(60),
            ..Default::default()
        };
        agent.compact_set_config_async(change).await.unwrap();
        // The first run has begun. It fails with its first record, and its end is a record, too.
        while lru.take_reads() == 0 {
            agent.memcg_status_async().await.unwrap();
        }
        for _ in 0..1000 {
            agent.memcg_status_async().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
}
