use super::*;

mod batches;
mod looks;
mod properties;
mod swap;

fn node(anon: u64, file: u64) -> NodeLook {
    NodeLook {
        node: 0,
        min_seq: 9,
        max_seq: 12,
        youngest_age_ms: 120_000,
        anon,
        file,
    }
}

fn seen(anon: u64, file: u64) -> Observation {
    Observation {
        node: node(anon, file),
        psi_percent: Some(0),
        is_protected: false,
        refaults_exceed: false,
        has_obeyed: true,
    }
}

fn config() -> SingleConfig {
    SingleConfig::default()
}

fn with_swap() -> SingleConfig {
    SingleConfig {
        swap: true,
        ..config()
    }
}

/// An eviction after a first look without objection.
fn begun(anon: u64, file: u64, config: &SingleConfig) -> Eviction {
    let mut eviction = Eviction::default();
    eviction
        .look(&seen(anon, file), config, SwapSpace::Usable)
        .unwrap();
    eviction
}

fn batch(
    eviction: &mut Eviction,
    config: &SingleConfig,
    swap: SwapSpace,
) -> Result<Option<(u8, u64)>, Stop> {
    let batch = eviction.next_batch(config, swap)?;
    Ok(batch.map(|batch| (batch.swappiness, batch.pages)))
}
