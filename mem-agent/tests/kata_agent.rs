//! What the kata agent does with this crate, in its way: it must go on compiling and working (spec
//! 1.2, 2.6).

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use anyhow::Context;
use mem_agent::agent::MemAgent;
use mem_agent::{compact, memcg};

/// As in the agent's configuration.
#[derive(Debug, Default, PartialEq)]
struct MemAgentConfig {
    memcg_config: memcg::Config,
    compact_config: compact::Config,
}

/// As in the agent's service, which its tasks share.
#[derive(Clone, Debug)]
struct Service {
    oma: Option<MemAgent>,
}

impl Service {
    async fn set_memcg(&self, percent: u32) -> Result<(), String> {
        let single = memcg::SingleOptionConfig {
            disabled: None,
            swap: Some(true),
            swappiness_max: Some(percent as u8),
            period_secs: Some(300),
            period_psi_percent_limit: Some(percent as u8),
            eviction_psi_percent_limit: Some(percent as u8),
            eviction_run_aging_count_min: Some(2),
        };
        let change = memcg::OptionConfig {
            default: single,
            ..Default::default()
        };
        let ma = self.oma.as_ref().ok_or("mem-agent is disabled")?;
        ma.memcg_set_config_async(change)
            .await
            .map_err(|e| format!("ma.memcg_set_config_async fail: {e}"))
    }

    async fn set_compact(&self, percent: u32) -> Result<(), String> {
        let change = compact::OptionConfig {
            disabled: None,
            period_secs: Some(300),
            period_psi_percent_limit: Some(percent as u8),
            compact_psi_percent_limit: Some(percent as u8),
            compact_sec_max: Some(60),
            compact_order: Some(percent as u8),
            compact_threshold: Some(u64::from(percent)),
            compact_force_times: Some(u64::from(percent)),
            ..Default::default()
        };
        let ma = self.oma.as_ref().ok_or("mem-agent is disabled")?;
        ma.compact_set_config_async(change)
            .await
            .map_err(|e| format!("ma.compact_set_config_async fail: {e}"))
    }
}

/// The asynchronous main function: it keeps what it does not name the type of, and drops it when it
/// returns, also by `?`.
async fn real_main(config: MemAgentConfig, fails: Option<&str>) -> anyhow::Result<()> {
    let mut ma_rt = None;
    let mut service = Service { oma: None };
    assert!(ma_rt.is_none());
    if fails != Some("disabled") {
        let (ma, rt) = MemAgent::new(config.memcg_config, config.compact_config)
            .map_err(|e| anyhow::anyhow!("{e}"))
            .context("start mem-agent")?;
        ma_rt = Some(rt);
        service.oma = Some(ma);
    }
    let tasks = [service.clone(), service].map(|service| {
        tokio::spawn(async move {
            service.set_memcg(5).await?;
            service.set_compact(5).await
        })
    });
    for task in tasks {
        task.await?.map_err(anyhow::Error::msg)?;
    }
    assert_eq!(ma_rt.is_some(), fails != Some("disabled"));
    fails.map_or(Ok(()), |what| Err(anyhow::anyhow!("{what}")))
}

fn off() -> MemAgentConfig {
    let mut config = MemAgentConfig::default();
    config.memcg_config.default.disabled = true;
    config.compact_config.disabled = true;
    config
}

#[test]
fn agent_starts_serves_and_ends_as_the_kata_agent_has_it() {
    let rt = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(real_main(off(), None)).unwrap();
    // The error is the one that happened, not that of an end that goes wrong.
    let error = rt.block_on(real_main(off(), Some("lost"))).unwrap_err();
    assert_eq!(error.to_string(), "lost");
    let error = rt.block_on(real_main(off(), Some("disabled"))).unwrap_err();
    assert_eq!(error.to_string(), "mem-agent is disabled");
}

#[test]
fn configurations_are_compared_and_overridden_field_by_field() {
    let mut config = MemAgentConfig::default();
    config.memcg_config.default.swap = true;
    config.compact_config.compact_order = 4;
    let expected = MemAgentConfig {
        memcg_config: memcg::Config {
            default: memcg::SingleConfig {
                swap: true,
                ..Default::default()
            },
            ..Default::default()
        },
        compact_config: compact::Config {
            compact_order: 4,
            ..Default::default()
        },
    };
    assert_eq!(config, expected);
    assert_ne!(config, MemAgentConfig::default());
}
