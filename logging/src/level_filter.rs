//! Which records are written: rules by component, changed while the program runs (3.3, D1).
//!
//! The question is answered on the thread that logs, before anything is formatted. Most answers
//! need neither the component nor the rules: each thread remembers the widest and the narrowest
//! rule of the map that it saw last, and looks again when the map was exchanged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
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
#[inline]
pub(crate) fn allows(
    record: &Record<'_>,
    values: &OwnedKVList,
    root: &Root,
    default: Level,
) -> bool {
    let level = record.level();
    match rules_if_they_matter(level, default) {
        Some(table) => level.is_at_least(limit(record, values, root, table).unwrap_or(default)),
        None => level.is_at_least(default),
    }
}

/// Whether some record of this level could be written.
pub(crate) fn may_allow(level: Level, default: Level) -> bool {
    level.is_at_least(default) || rules_if_they_matter(level, default).is_some()
}

type Map = HashMap<String, Level>;

/// The rules, as one thread knows them.
struct Rules {
    cache: Cache<&'static ArcSwap<Map>, Arc<Map>>,
    table: Rc<Table>,
}

/// A map of rules, prepared for questions.
struct Table {
    map: Arc<Map>,
    /// Numbers of the least and the most severe limit. Without rules, those of no level: nothing
    /// passes the one, everything the other.
    widest: usize,
    narrowest: usize,
    root: Option<Level>,
    /// All rules, if they are few.
    short: Vec<(String, Level)>,
}

impl Rules {
    fn new() -> Self {
        let mut cache = Cache::new(&*FILTER_RULE);
        let table = Rc::new(Table::new(cache.load()));
        Self { cache, table }
    }

    /// The rules, if one of them may say something else about this level than `default` does. They
    /// are a snapshot: whatever becomes of them, the record is judged by these.
    #[inline(always)]
    fn if_they_matter(&mut self, level: Level, default: Level) -> Option<Rc<Table>> {
        let map = self.cache.load();
        if !Arc::ptr_eq(map, &self.table.map) {
            self.table = Rc::new(Table::new(map));
        }
        let number = level.as_usize();
        let all_agree = match level.is_at_least(default) {
            true => number <= self.table.narrowest,
            false => number > self.table.widest,
        };
        (!all_agree).then(|| Rc::clone(&self.table))
    }
}

impl Table {
    #[cold]
    fn new(map: &Arc<Map>) -> Self {
        let numbers = || map.values().map(|level| level.as_usize());
        let short = match map.len() {
            0..=SHORT => map
                .iter()
                .map(|(key, level)| (key.clone(), *level))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            widest: numbers().max().unwrap_or(0),
            narrowest: numbers().min().unwrap_or(usize::MAX),
            root: map.get(ROOT_COMPONENT).copied(),
            short,
            map: Arc::clone(map),
        }
    }

    /// The rule for a component.
    fn of(&self, component: &str) -> Option<Level> {
        if self.short.is_empty() {
            return self.map.get(component).copied();
        }
        let mut rules = self.short.iter();
        rules
            .find(|(key, _)| key == component)
            .map(|(_, level)| *level)
    }
}

/// Asks the rules of this thread, or fresh ones where those are gone or in use: while the thread
/// ends, or in a signal handler.
#[inline(never)]
fn rules_if_they_matter(level: Level, default: Level) -> Option<Rc<Table>> {
    let answer = RULES.try_with(|rules| match rules.try_borrow_mut() {
        Ok(mut rules) => rules.if_they_matter(level, default),
        Err(_) => fresh_rules_if_they_matter(level, default),
    });
    answer.unwrap_or_else(|_| fresh_rules_if_they_matter(level, default))
}

#[cold]
#[inline(never)]
fn fresh_rules_if_they_matter(level: Level, default: Level) -> Option<Rc<Table>> {
    Rules::new().if_they_matter(level, default)
}

/// The rule for the component of a record, if there is one.
#[inline(never)]
fn limit(
    record: &Record<'_>,
    values: &OwnedKVList,
    root: &Root,
    table: Rc<Table>,
) -> Option<Level> {
    let mut search = Search {
        table: &table,
        found: None,
    };
    // The search ends with an error where it finds something; a foreign KV may panic. `kv().0`, for
    // the wrapper would only be one more call.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        ignore(record.kv().0.serialize(record, &mut search));
        if search.found.is_none() {
            let search = &mut search;
            ignore(root::with_known_root(root, search, |search| {
                values.serialize(record, search)
            }));
        }
    }));
    search.found.unwrap_or(table.root)
}

/// Drops what a foreign KV may return. Nearly always that is nothing, which the compiler would call
/// a function to find out.
#[inline]
fn ignore(result: slog::Result) {
    if let Err(slog::Error::Io(error)) = result {
        drop(error);
    }
}

/// Looks for the component; the rule for it, once found.
struct Search<'a> {
    table: &'a Table,
    found: Option<Option<Level>>,
}

impl Search<'_> {
    fn decide(&mut self, component: &str) -> slog::Result {
        self.found = Some(self.table.of(component));
        Err(slog::Error::Other) // nothing else is of interest
    }

    #[cold]
    fn decide_by(&mut self, component: &fmt::Arguments<'_>) -> slog::Result {
        if let Some(text) = component.as_str() {
            return self.decide(text);
        }
        let mut text = Name::new();
        match text.write_fmt(*component) {
            Ok(()) => self.decide(text.as_str()),
            Err(_) => self.decide(&fmt::format(*component)),
        }
    }
}

/// Numbers are not even prepared for formatting unless they are the component.
macro_rules! emit_if_component {
    ($($emit:ident($type:ty))*) => {
        $(
            #[inline]
            fn $emit(&mut self, key: Key, value: $type) -> slog::Result {
                match is_component(&key) {
                    true => self.decide_by(&format_args!("{value}")),
                    false => Ok(()),
                }
            }
        )*
    };
}

impl Serializer for Search<'_> {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        match is_component(&key) {
            true => self.decide_by(value),
            false => Ok(()),
        }
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        match is_component(&key) {
            true => self.decide(value),
            false => Ok(()),
        }
    }

    emit_if_component! {
        emit_bool(bool) emit_char(char) emit_f32(f32) emit_f64(f64)
        emit_u8(u8) emit_u16(u16) emit_u32(u32) emit_u64(u64) emit_usize(usize)
        emit_i8(i8) emit_i16(i16) emit_i32(i32) emit_i64(i64) emit_isize(isize)
    }
}

#[inline]
fn is_component(key: &Key) -> bool {
    let key: &str = key.as_ref();
    key == COMPONENT
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
