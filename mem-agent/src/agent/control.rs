//! The control loop (spec 3.3).

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep};

use crate::blocking;
use crate::compact::{self, Compact};
use crate::env::Env;
use crate::memcg::{self, MemCG, MemCgroup};

use super::rest::Rest;

/// Cgroups come in groups: a pod, its containers.
const SCAN_DELAY: Duration = Duration::from_secs(1);
/// At most one part in so many of the time is spent looking for cgroups, whoever makes them.
const SCAN_PART: u32 = 20;
/// Longest that the runtime is asked to sleep at once.
const LONGEST_SLEEP: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a handle asks for, and where the answer goes. Nobody need wait for it (D3).
#[derive(Debug)]
pub(super) enum Command {
    MemcgSet(memcg::OptionConfig, Reply),
    CompactSet(compact::OptionConfig, Reply),
    MemcgStatus(oneshot::Sender<HashMap<String, MemCgroup>>),
}

/// A change of the configuration that waits for its turn.
enum Change {
    Memcg(memcg::OptionConfig),
    Compact(compact::OptionConfig),
}

type Reply = oneshot::Sender<Result<()>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Memcg,
    Compact,
}

/// What the threads of the agent tell its loop.
enum Event {
    RunEnded(Outcome),
    Changed(Result<bool>),
    CgroupsChanged,
}

/// How a run has ended; none of a half that was not due.
#[derive(Default)]
struct Outcome {
    memcg: Option<Result<()>>,
    compact: Option<Result<()>>,
    /// Cgroups are being watched from now on.
    has_begun_to_watch: bool,
    /// How long it took to look for cgroups, if nothing else was due.
    scan_time: Option<Duration>,
}

enum Wake {
    Command(Command),
    Event(Event),
    Time,
}

pub(super) struct Control {
    env: Env,
    memcg: MemCG,
    compact: Compact,
    /// None when there is no handle any more.
    commands: Option<mpsc::Receiver<Command>>,
    events: mpsc::UnboundedReceiver<Event>,
    event_sender: mpsc::UnboundedSender<Event>,
    is_running: bool,
    changes: VecDeque<(Change, Reply)>,
    /// The change that is being made, and who waits for it.
    changing: Option<(Half, Reply)>,
    memcg_rest: Rest,
    compact_rest: Rest,
    /// When to look for cgroups, after some have come or gone.
    scan: Option<Duration>,
    /// How long after they have.
    scan_delay: Duration,
    is_watching: bool,
    /// [`Event::CgroupsChanged`] has been sent since the last look: one is enough.
    has_told: Arc<AtomicBool>,
}

impl Control {
    pub(super) fn new(
        env: Env,
        memcg: MemCG,
        compact: Compact,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let (event_sender, events) = mpsc::unbounded_channel();
        Self {
            env,
            memcg,
            compact,
            commands: Some(commands),
            events,
            event_sender,
            is_running: false,
            changes: VecDeque::new(),
            changing: None,
            memcg_rest: Rest::default(),
            compact_rest: Rest::default(),
            scan: Some(Duration::ZERO), // the first run is due at once (A1)
            scan_delay: SCAN_DELAY,
            is_watching: false,
            has_told: Arc::default(),
        }
    }

    /// Ends with the runtime.
    pub(super) async fn run(mut self) {
        loop {
            let now = self.env.clock.now();
            if !self.is_running && self.is_due(now) {
                self.start_run(now);
            }
            // An absolute time in a fixed clock: commands in between do not shift it (D6).
            let time = if self.is_running {
                Duration::MAX
            } else {
                self.next_time(now).saturating_sub(now)
            };
            let wake = self.wait(time).await;
            if self.memcg.is_cancelled() {
                return; // no answer from an agent that has been ended
            }
            match wake {
                Wake::Command(command) => self.take(command).await,
                Wake::Event(Event::RunEnded(outcome)) => self.end_run(outcome),
                Wake::Event(Event::Changed(result)) => self.end_change(result),
                Wake::Event(Event::CgroupsChanged) if self.scan.is_none() => {
                    self.scan = Some(self.env.clock.now().saturating_add(self.scan_delay));
                }
                Wake::Event(Event::CgroupsChanged) | Wake::Time => {}
            }
        }
    }

    fn memcg_time(&self, now: Duration) -> Duration {
        let scan = self.scan.filter(|_| !self.memcg.is_disabled());
        let due = now.saturating_add(self.memcg.get_remaining_tokio_duration());
        let due = self.memcg_rest.end.unwrap_or(due);
        scan.map_or(due, |scan| due.min(scan))
    }

    fn compact_time(&self, now: Duration) -> Duration {
        let due = now.saturating_add(self.compact.get_remaining_tokio_duration());
        self.compact_rest.end.unwrap_or(due)
    }

    fn next_time(&self, now: Duration) -> Duration {
        self.memcg_time(now).min(self.compact_time(now))
    }

    fn is_due(&self, now: Duration) -> bool {
        self.next_time(now) <= now
    }

    /// One thread for all that is due (A2).
    fn start_run(&mut self, now: Duration) {
        self.memcg_rest.begin_run();
        self.compact_rest.begin_run();
        let is_memcg_due = self.memcg_time(now) <= now;
        let is_compact_due = self.compact_time(now) <= now;
        let scan_only = self.memcg_rest.end.map_or_else(
            || !self.memcg.get_remaining_tokio_duration().is_zero(),
            |end| end > now,
        );
        if is_memcg_due {
            self.scan = None;
            // What changes from now on is not seen by this run for sure.
            self.has_told.store(false, Ordering::SeqCst);
        }
        let (memcg, compact) = (self.memcg.clone(), self.compact.clone());
        let watch = (is_memcg_due && !self.is_watching).then(|| self.watcher());
        let env = self.env.clone();
        let work = move || {
            let mut outcome = Outcome::default();
            if is_memcg_due {
                if let Some(on_change) = watch {
                    let watch = isolated(|| Ok(memcg.watch(&env, on_change)));
                    outcome.has_begun_to_watch = watch.unwrap_or_default();
                }
                if scan_only {
                    match isolated(|| Ok(scan(&memcg, &env))) {
                        Ok(time) => outcome.scan_time = Some(time),
                        Err(error) => outcome.memcg = Some(Err(error)),
                    }
                } else {
                    outcome.memcg = Some(isolated(|| run_memcg(memcg)));
                }
            }
            if is_compact_due {
                outcome.compact = Some(isolated(|| run_compact(compact)));
            }
            Ok(outcome)
        };
        // Else, what was due would be so again at once.
        let failed = move |error: anyhow::Error| Outcome {
            memcg: is_memcg_due.then(|| Err(anyhow!("{error:#}"))),
            compact: is_compact_due.then(|| Err(anyhow!("{error:#}"))),
            ..Outcome::default()
        };
        let events = self.event_sender.clone();
        let report = move |outcome: Result<Outcome>| {
            let outcome = outcome.unwrap_or_else(failed);
            // The loop is gone only with the runtime.
            let _: Result<(), _> = events.send(Event::RunEnded(outcome));
        };
        match blocking::start("mem-agent-work", work, report) {
            Ok(()) => self.is_running = true,
            Err(error) => self.end_run(failed(error)),
        }
    }

    /// What is called when cgroups have come or gone. However often that is, one event waits at most.
    fn watcher(&self) -> impl FnMut() -> bool + Send + 'static {
        let (events, has_told) = (self.event_sender.clone(), Arc::clone(&self.has_told));
        move || has_told.swap(true, Ordering::SeqCst) || events.send(Event::CgroupsChanged).is_ok()
    }

    /// Each half on its own (D7).
    fn end_run(&mut self, outcome: Outcome) {
        self.is_running = false;
        self.is_watching |= outcome.has_begun_to_watch;
        if let Some(time) = outcome.scan_time {
            self.scan_delay = time.saturating_mul(SCAN_PART).max(SCAN_DELAY);
        }
        let now = self.env.clock.now();
        if let Some(result) = outcome.memcg {
            self.memcg_rest.end_run("memcg", result, now);
        }
        if let Some(result) = outcome.compact {
            self.compact_rest.end_run("compact", result, now);
        }
    }

    async fn take(&mut self, command: Command) {
        match command {
            Command::MemcgStatus(reply) => {
                answer(reply, self.memcg.get_status().await);
            }
            Command::MemcgSet(change, reply) => {
                self.changes.push_back((Change::Memcg(change), reply));
            }
            Command::CompactSet(change, reply) => {
                self.changes.push_back((Change::Compact(change), reply));
            }
        }
        self.start_change();
    }

    /// Changes are made one after the other, on a thread, as they may have to look at the machine.
    fn start_change(&mut self) {
        while self.changing.is_none() {
            let Some((change, reply)) = self.changes.pop_front() else {
                return;
            };
            let half = match change {
                Change::Memcg(_) => Half::Memcg,
                Change::Compact(_) => Half::Compact,
            };
            let (memcg, compact) = (self.memcg.clone(), self.compact.clone());
            let work = move || match change {
                Change::Memcg(change) => memcg.change(&change),
                Change::Compact(change) => compact.change(&change),
            };
            let events = self.event_sender.clone();
            let report = move |result| {
                // The loop is gone only with the runtime.
                let _: Result<(), _> = events.send(Event::Changed(result));
            };
            match blocking::start("mem-agent-conf", work, report) {
                Ok(()) => self.changing = Some((half, reply)),
                Err(error) => answer(reply, Err(error)),
            }
        }
    }

    fn end_change(&mut self, result: Result<bool>) {
        let Some((half, reply)) = self.changing.take() else {
            return;
        };
        if matches!(result, Ok(true)) {
            match half {
                Half::Memcg => {
                    self.memcg_rest.change();
                    if !self.is_watching {
                        self.scan = Some(Duration::ZERO);
                    }
                }
                Half::Compact => self.compact_rest.change(),
            }
        }
        answer(reply, result.map(drop));
        self.start_change();
    }

    /// Waits for what comes first. Nothing wakes the thread before.
    async fn wait(&mut self, time: Duration) -> Wake {
        let mut sleep: Option<Pin<Box<Sleep>>> =
            (time < Duration::MAX).then(|| Box::pin(sleep(time.min(LONGEST_SLEEP))));
        poll_fn(|cx| self.poll_wake(cx, sleep.as_mut())).await
    }

    fn poll_wake(
        &mut self,
        cx: &mut Context<'_>,
        sleep: Option<&mut Pin<Box<Sleep>>>,
    ) -> Poll<Wake> {
        if let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
            return Poll::Ready(Wake::Event(event));
        }
        // Else, those whose callers have given up would be without a limit (N4).
        let has_room = self.changes.len() < super::COMMAND_QUEUE;
        if let Some(commands) = self.commands.as_mut().filter(|_| has_room) {
            match commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => return Poll::Ready(Wake::Command(command)),
                Poll::Ready(None) => self.commands = None, // goes on without handles (A6)
                Poll::Pending => {}
            }
        }
        match sleep {
            Some(sleep) => sleep.as_mut().poll(cx).map(|()| Wake::Time),
            None => Poll::Pending,
        }
    }
}

/// Nobody may be waiting any more (D3).
fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    let _: Result<(), _> = reply.send(answer);
}

/// Looks for cgroups, and returns how long that took. The next run will do so again, and say why it
/// cannot.
fn scan(memcg: &MemCG, env: &Env) -> Duration {
    let began = env.clock.now();
    if let Err(error) = isolated(|| memcg.refresh()) {
        crate::log::safely(|| debug!("looking for cgroups failed: {:#}", error));
    }
    env.clock.now().saturating_sub(began)
}

fn run_memcg(mut memcg: MemCG) -> Result<()> {
    let due = memcg.get_timeout_list();
    if !due.is_empty() || memcg.needs_scan() {
        memcg.work(&due)?;
        memcg.reset_timers(&due);
    }
    Ok(())
}

fn run_compact(mut compact: Compact) -> Result<()> {
    if compact.need_work() {
        compact.work()?;
        compact.reset_timer();
    }
    Ok(())
}

/// A panic of one half is a failure of that half (D5).
fn isolated<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(anyhow!("panicked: {}", blocking::message(&*panic))))
}

#[cfg(test)]
mod tests;
