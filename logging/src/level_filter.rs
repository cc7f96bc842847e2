//! Which records are written: rules by component, changed while the program runs (3.3, D1).
//!
//! The question is answered on the thread that logs, before anything is formatted. Most answers
//! need neither the component nor the rules: each thread remembers the widest and the narrowest
//! rule of the map that it saw last, and looks again when the map was exchanged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use lazy_static::lazy_static;
use slog::{KV, Key, Level, OwnedKVList, Record, Serializer};

use crate::root::{self, Root};

lazy_static! {
    /// Rules that override the level of a logger, by component: a record is written if it is at
    /// least as severe as the rule for its component says, or else the level that its logger was
    /// created with.
    ///
    /// The component of a record is the value of its key `component`, or else of the nearest
    /// logger that has this key, or else `root`. [`register_component_logger`] makes such loggers.
    /// The key `subsystem` plays no part.
    ///
    /// A change counts for every record that is logged after it. Creating a logger sets all rules
    /// that exist to its level.
    ///
    /// ```
    /// use logging::FILTER_RULE;
    /// use slog::Level;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("log");
    /// # let file = std::fs::File::create(&path)?;
    /// let (logger, guard) = logging::create_logger("shim", "sandbox-1", Level::Info, file);
    /// let agent = logger.new(slog::o!("component" => "agent"));
    ///
    /// FILTER_RULE.rcu(|rules| {
    ///     let mut rules = rules.as_ref().clone();
    ///     rules.insert("agent".to_owned(), Level::Debug);
    ///     rules
    /// });
    /// slog::debug!(agent, "is written");
    /// slog::debug!(logger, "is not");
    ///
    /// drop(guard);
    /// # let text = std::fs::read_to_string(path)?;
    /// assert_eq!(text.lines().count(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// [`register_component_logger`]: crate::register_component_logger
    pub static ref FILTER_RULE: ArcSwap<HashMap<String, Level>> =
        ArcSwap::from_pointee(HashMap::new());
}

/// The key that names the component.
const COMPONENT: &str = "component";

/// The component of records that name none.
const ROOT_COMPONENT: &str = "root";

/// Up to that many rules are searched one by one, which is faster than to hash the component.
const SHORT: usize = 8;

thread_local! {
    static RULES: RefCell<Rules> = RefCell::new(Rules::new());
}

/// Sets every rule that exists to `level` (3.1.1).
pub(crate) fn overwrite_rules(level: Level) {
    FILTER_RULE.rcu(|rules| {
        if rules.is_empty() {
            return Arc::clone(rules);
        }
        let keys = rules.keys().cloned();
        Arc::new(keys.map(|key| (key, level)).collect())
    });
}

/// Whether a record of a logger with the default level `default` is written.
pub(crate) fn allows(
    record: &Record<'_>,
    values: &OwnedKVList,
    root: &Root,
    default: Level,
) -> bool {
    let level = record.level();
    match with_rules(|rules| rules.verdict(level, default)) {
        Verdict::Same(allowed) => allowed,
        Verdict::ByComponent => level.is_at_least(limit(record, values, root).unwrap_or(default)),
    }
}

/// Whether some record of this level could be written.
pub(crate) fn may_allow(level: Level, default: Level) -> bool {
    match with_rules(|rules| rules.verdict(level, default)) {
        Verdict::Same(allowed) => allowed,
        Verdict::ByComponent => true,
    }
}

type Map = HashMap<String, Level>;

enum Verdict {
    /// Whatever the component.
    Same(bool),
    ByComponent,
}

/// The rules, as one thread knows them.
struct Rules {
    cache: Cache<&'static ArcSwap<Map>, Arc<Map>>,
    /// Address of the map that the rest was computed from. It cannot be reused meanwhile: `cache`
    /// drops a map only after it has the next one.
    seen: *const Map,
    /// The least and the most severe limit, if there are rules.
    widest: Option<Level>,
    narrowest: Option<Level>,
    root: Option<Level>,
    /// All rules, if they are few.
    short: Vec<(String, Level)>,
}

impl Rules {
    fn new() -> Self {
        Self {
            cache: Cache::new(&FILTER_RULE),
            seen: std::ptr::null(),
            widest: None,
            narrowest: None,
            root: None,
            short: Vec::new(),
        }
    }

    #[inline]
    fn refresh(&mut self) {
        let seen = Arc::as_ptr(self.cache.load());
        if seen != self.seen {
            self.seen = seen;
            self.compute();
        }
    }

    #[cold]
    fn compute(&mut self) {
        let rules = self.cache.load();
        self.widest = rules.values().copied().max_by_key(|level| level.as_usize());
        self.narrowest = rules.values().copied().min_by_key(|level| level.as_usize());
        self.root = rules.get(ROOT_COMPONENT).copied();
        self.short.clear();
        if rules.len() <= SHORT {
            let rules = rules.iter().map(|(key, level)| (key.clone(), *level));
            self.short.extend(rules);
        }
    }

    #[inline]
    fn verdict(&mut self, level: Level, default: Level) -> Verdict {
        self.refresh();
        let (Some(widest), Some(narrowest)) = (self.widest, self.narrowest) else {
            return Verdict::Same(level.is_at_least(default));
        };
        let by_default = level.is_at_least(default);
        if level.is_at_least(narrowest) && by_default {
            Verdict::Same(true)
        } else if !level.is_at_least(widest) && !by_default {
            Verdict::Same(false)
        } else {
            Verdict::ByComponent
        }
    }

    /// The rule for a component, among those that the verdict was about.
    fn of(&mut self, component: &str) -> Option<Level> {
        if self.short.is_empty() {
            self.refresh();
            return self.cache.load().get(component).copied();
        }
        let mut rules = self.short.iter();
        rules
            .find(|(key, _)| key == component)
            .map(|(_, level)| *level)
    }
}

/// Runs `ask` on the rules of this thread, or on fresh ones where those are gone or in use: while
/// the thread ends, or in a `Drop` of what a map of rules held.
#[inline]
fn with_rules<T>(mut ask: impl FnMut(&mut Rules) -> T) -> T {
    let answer = RULES.try_with(|rules| match rules.try_borrow_mut() {
        Ok(mut rules) => Some(ask(&mut rules)),
        Err(_) => None,
    });
    match answer {
        Ok(Some(answer)) => answer,
        _ => ask(&mut Rules::new()),
    }
}

/// The rule for the component of a record, if there is one.
fn limit(record: &Record<'_>, values: &OwnedKVList, root: &Root) -> Option<Level> {
    let mut search = Search { found: None };
    root::with_known_root(root, || {
        // The search ends with an error where it finds something; a foreign KV may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let _ = record.kv().serialize(record, &mut search);
            if search.found.is_none() {
                let _ = values.serialize(record, &mut search);
            }
        }));
    });
    search
        .found
        .unwrap_or_else(|| with_rules(|rules| rules.root))
}

/// Looks for the component; the rule for it, once found.
struct Search {
    found: Option<Option<Level>>,
}

impl Search {
    fn decide(&mut self, component: &str) -> slog::Result {
        self.found = Some(with_rules(|rules| rules.of(component)));
        Err(slog::Error::Other) // nothing else is of interest
    }
}

impl Serializer for Search {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        let key: &str = key.as_ref();
        if key != COMPONENT {
            return Ok(());
        }
        if let Some(text) = value.as_str() {
            return self.decide(text);
        }
        let mut text = Name::new();
        if text.write_fmt(*value).is_ok() {
            return self.decide(text.as_str());
        }
        self.decide(&fmt::format(*value))
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        let key: &str = key.as_ref();
        if key != COMPONENT {
            return Ok(());
        }
        self.decide(value)
    }
}

/// A short text on the stack: a rejected record must not allocate.
struct Name {
    bytes: [u8; 128],
    len: usize,
}

impl Name {
    fn new() -> Self {
        Self {
            bytes: [0; 128],
            len: 0,
        }
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
