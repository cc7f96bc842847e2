//! The day as text.

use std::io::{self, Write};

use crate::day::{Actions, Day, MIB, SAMPLE, Sample, TOTAL_MIB};

/// Columns of the bar.
const WIDTH: u64 = 48;
/// Samples of a row.
const SAMPLES: usize = (1_800 / SAMPLE) as usize;

/// Prints a row for each half hour.
pub(crate) struct Chart {
    /// Resident pages without the agent.
    without: Vec<u64>,
    mean_without: u64,
    reportable_without: u64,
    count: usize,
    /// Since the last row.
    actions: Actions,
    psi_permille: u64,
}

impl Chart {
    pub(crate) fn new(without: &Day) -> Self {
        let samples = without.samples.iter();
        Self {
            without: samples.map(|sample| sample.resident).collect(),
            mean_without: without.mean(|sample| sample.resident),
            reportable_without: without.mean(|sample| sample.reportable),
            count: 0,
            actions: Actions::default(),
            psi_permille: 0,
        }
    }

    pub(crate) fn head(&self, out: &mut impl Write, seed: u64) -> io::Result<()> {
        writeln!(
            out,
            "A day of a pod in a machine of {} GiB (seed {seed}). Memory in MiB:\n\
             █ in use   ▒ cold   · what would be there without the agent\n",
            TOTAL_MIB / 1_024
        )?;
        let quarter = WIDTH as usize / 4;
        writeln!(
            out,
            " time  resident  cold  reclaimed  PSI %  0{:>quarter$}{:>quarter$}{:>quarter$}{:>quarter$} GiB",
            1, 2, 3, 4
        )
    }

    pub(crate) fn row(&mut self, out: &mut impl Write, sample: &Sample) -> io::Result<()> {
        self.actions.add(&sample.actions);
        self.psi_permille = self.psi_permille.max(sample.psi_permille);
        self.count += 1;
        if !self.count.is_multiple_of(SAMPLES) {
            return Ok(());
        }
        let without = self.without.get(self.count - 1).copied().unwrap_or(0);
        writeln!(
            out,
            " {:02}:{:02}  {:>8}  {:>4}  {:>9}  {:>3}.{}  {}  {}",
            sample.time / 3_600,
            sample.time / 60 % 60,
            sample.resident / MIB,
            sample.cold / MIB,
            sample.reclaimed / MIB,
            self.psi_permille / 10,
            self.psi_permille % 10,
            bar(sample, without),
            told(&self.actions)
        )?;
        self.actions = Actions::default();
        self.psi_permille = 0;
        Ok(())
    }

    pub(crate) fn foot(&self, out: &mut impl Write, day: &Day) -> io::Result<()> {
        let actions = day.actions();
        let last = day.samples.last().cloned().unwrap_or_default();
        let mean = day.mean(|sample| sample.resident);
        let saved = (self.mean_without.saturating_sub(mean)) * 100 / self.mean_without.max(1);
        writeln!(
            out,
            "\n{} runs, {} looks, {} agings, {} evictions, {} compactions.\n\
             {} MiB were taken; {} MiB of them came back.\n\
             Resident on average: {} MiB, and {} MiB without the agent: {saved} % less.\n\
             Free for the host on average: {} MiB, and {} MiB without.",
            actions.runs,
            actions.looks,
            actions.agings,
            actions.evictions,
            actions.compactions,
            last.reclaimed / MIB,
            last.refaulted / MIB,
            mean / MIB,
            self.mean_without / MIB,
            day.mean(|sample| sample.reportable) / MIB,
            self.reportable_without / MIB
        )
    }
}

fn bar(sample: &Sample, without: u64) -> String {
    let columns = |pages: u64| {
        let full = TOTAL_MIB * MIB;
        ((pages * WIDTH + full / 2) / full).min(WIDTH) as usize
    };
    let all = columns(sample.resident);
    let used = columns(sample.resident - sample.cold);
    let more = columns(without).saturating_sub(all);
    let rest = (WIDTH as usize).saturating_sub(all + more);
    format!(
        "{}{}{}{}",
        "█".repeat(used),
        "▒".repeat(all - used),
        "·".repeat(more),
        " ".repeat(rest)
    )
}

fn told(actions: &Actions) -> String {
    let mut parts = Vec::new();
    if actions.agings > 0 {
        parts.push(format!("aged {}", actions.agings));
    }
    if actions.reclaimed >= MIB {
        parts.push(format!(
            "took {} MiB in {} steps",
            actions.reclaimed / MIB,
            actions.evictions
        ));
    }
    if actions.compactions > 0 {
        parts.push("compacted".to_owned());
    }
    if actions.held_back > 0 {
        parts.push(format!("{} held back by pressure", actions.held_back));
    }
    if actions.stopped > 0 {
        parts.push(format!("{} stopped by pressure", actions.stopped));
    }
    parts.join(", ")
}
