//! Each key once, in an order that does not change (rule 3.4.2, D8, D9).
//!
//! slog visits key/values newest first: those of the record, then those of its logger, then those
//! of the logger's ancestors, and within each list the last written first. So of several values
//! for a key, the first that is visited counts. Records show the opposite order: the keys of the
//! loggers, oldest first, then those of the record, as written.

use std::fmt::{self, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use slog::{KV, Key, OwnedKVList, Record, Serializer};

use crate::format::FIELD_ROOM;
use crate::root::{self, Root};
use crate::text::{Bounded, Escape, PANICKED, last_word};

/// Whose key it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Logger,
    Record,
}

/// How a format writes one key with its value.
pub(crate) trait FieldStyle {
    type Value: Escape;

    /// How many bytes `close` adds at most.
    const CLOSING: usize;

    /// Appends all that comes before the value; returns where in `out` the key is, or nothing if
    /// the format has no way to represent the key.
    fn open(&self, key: &str, group: Group, out: &mut Vec<u8>) -> Option<Range<usize>>;

    /// Appends all that comes after the value, which begins at `value`.
    fn close(&self, value: usize, out: &mut Vec<u8>);
}

/// Rendered key/values of one record. Reused, so that it allocates nothing in the long run.
#[derive(Debug)]
pub(crate) struct Fields {
    text: Vec<u8>,
    /// In the order of the visit; those of the record first.
    entries: Vec<Entry>,
    /// How many entries are the record's.
    of_record: usize,
    /// One bit for each hash in `entries`.
    seen: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    hash: u64,
    /// Within the text of the place.
    key: Range<usize>,
}

#[derive(Clone, Debug)]
enum Place {
    /// Empty if there was no room: what the key overrides must not take its place.
    Text(Range<usize>),
    Root(usize),
}

/// Root key/values, rendered in advance.
#[derive(Debug)]
pub(crate) struct RootFields {
    fields: Vec<RootField>,
    len: usize,
}

#[derive(Debug)]
struct RootField {
    text: Vec<u8>,
    hash: u64,
    key: Range<usize>,
}

impl RootFields {
    pub(crate) fn new<S: FieldStyle>(root: &Root, style: &S) -> Self {
        let mut fields: Vec<RootField> = Vec::new();
        for (name, value) in root.fields() {
            let mut text = Vec::new();
            let Some(key) = style.open(name, Group::Logger, &mut text) else {
                continue;
            };
            let start = text.len();
            S::Value::escape(value, &mut text);
            style.close(start, &mut text);
            let hash = text.get(key.clone()).map_or(0, hash);
            fields.push(RootField { text, hash, key });
        }
        let len = fields.iter().map(|field| field.text.len()).sum();
        Self { fields, len }
    }

    /// Bytes of all of them together.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// Where the key/values of a record come from.
pub(crate) struct Source<'a> {
    pub(crate) record: &'a Record<'a>,
    pub(crate) values: &'a OwnedKVList,
    pub(crate) root: &'a Root,
    pub(crate) root_fields: &'a RootFields,
}

/// Whether a record is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    Cut,
}

impl Fields {
    pub(crate) const fn new() -> Self {
        Self {
            text: Vec::new(),
            entries: Vec::new(),
            of_record: 0,
            seen: 0,
        }
    }

    /// Gives back what an unusually large record needed.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.text.capacity() > bytes {
            self.text.clear();
            self.text.shrink_to(bytes);
        }
        if self.entries.capacity() * size_of::<Entry>() > bytes {
            self.entries.clear();
            self.entries.shrink_to(bytes / size_of::<Entry>());
        }
    }

    /// Renders the key/values of a record, those of the root aside in at most `limit` bytes.
    pub(crate) fn collect<S: FieldStyle>(
        &mut self,
        source: &Source<'_>,
        style: &S,
        limit: usize,
    ) -> Extent {
        self.text.clear();
        self.entries.clear();
        self.of_record = 0;
        self.seen = 0;
        let mut collector = Collector {
            fields: self,
            root: source.root_fields,
            style,
            limit,
            group: Group::Record,
            extent: Extent::Whole,
        };
        // An error or a panic of a foreign KV ends its own list only.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            source
                .record
                .kv()
                .0
                .serialize(source.record, &mut collector)
        }));
        collector.fields.of_record = collector.fields.entries.len();
        collector.group = Group::Logger;
        let _ = catch_unwind(AssertUnwindSafe(|| {
            root::with_known_root(source.root, &mut collector, |collector| {
                source.values.serialize(source.record, collector)
            })
        }));
        collector.extent
    }

    /// Adds a key of our own behind all others, in the place of one of the same name.
    pub(crate) fn append<S: FieldStyle>(&mut self, key: &'static str, value: &str, style: &S) {
        let start = self.text.len();
        let Some(range) = style.open(key, Group::Record, &mut self.text) else {
            return;
        };
        let value_start = self.text.len();
        S::Value::escape(value, &mut self.text);
        style.close(value_start, &mut self.text);
        let entry = Entry {
            hash: self.text.get(range.clone()).map_or(0, hash),
            key: range,
            place: Place::Text(start..self.text.len()),
        };
        // Root keys have names of their own, none of which is appended.
        let same = self.entries.iter().position(|other| {
            matches!(other.place, Place::Text(_))
                && self.text.get(other.key.clone()) == self.text.get(entry.key.clone())
        });
        if let Some(same) = same {
            self.entries.remove(same);
            self.of_record -= usize::from(same < self.of_record);
        }
        self.entries.insert(0, entry);
        self.of_record += 1;
    }

    /// The rendered fields of one group, in the order in which a record shows them.
    pub(crate) fn of<'a>(
        &'a self,
        group: Group,
        root: &'a RootFields,
    ) -> impl Iterator<Item = &'a [u8]> {
        let (record, logger) = self
            .entries
            .split_at_checked(self.of_record)
            .unwrap_or((&self.entries, &[]));
        let entries = match group {
            Group::Logger => logger,
            Group::Record => record,
        };
        let fields = entries.iter().rev().map(|entry| match &entry.place {
            Place::Text(range) => self.text.get(range.clone()),
            Place::Root(index) => root.fields.get(*index).map(|field| field.text.as_slice()),
        });
        fields.flatten().filter(|field| !field.is_empty())
    }

    fn position(&self, hash: u64, key: &[u8], root: &RootFields) -> Option<usize> {
        if self.seen & bit(hash) == 0 {
            return None;
        }
        self.entries.iter().position(|entry| {
            entry.hash == hash && {
                let text = match &entry.place {
                    Place::Text(_) => Some(&self.text),
                    Place::Root(index) => root.fields.get(*index).map(|field| &field.text),
                };
                text.and_then(|text| text.get(entry.key.clone())) == Some(key)
            }
        })
    }

    fn push(&mut self, entry: Entry) {
        self.seen |= bit(entry.hash);
        self.entries.push(entry);
    }

    /// A key that was visited already appears again, farther back: what the logger overrides keeps
    /// the place where it was written first, what the record overrides does not.
    fn seen_again(&mut self, at: usize, group: Group) {
        let first_of_group = match group {
            Group::Record => 0,
            Group::Logger => self.of_record,
        };
        if at >= first_of_group && at < self.entries.len() {
            let entry = self.entries.remove(at);
            self.entries.push(entry);
        }
    }
}

/// In the manner of FNV-1a, but over words: keys are short, and there are few of them.
#[inline]
fn hash(key: &[u8]) -> u64 {
    let (words, tail) = key.as_chunks::<8>();
    let mut hash = mix(0xcbf2_9ce4_8422_2325, key.len() as u64);
    for word in words {
        hash = mix(hash, u64::from_ne_bytes(*word));
    }
    if tail.is_empty() {
        hash
    } else {
        mix(hash, last_word(key))
    }
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 32)
}

fn bit(hash: u64) -> u64 {
    1 << (hash >> 8 & 63)
}

struct Collector<'a, S> {
    fields: &'a mut Fields,
    root: &'a RootFields,
    style: &'a S,
    limit: usize,
    group: Group,
    extent: Extent,
}

impl<S: FieldStyle> Collector<'_, S> {
    #[inline]
    fn field(&mut self, key: &Key, write: impl FnOnce(&mut Bounded<'_, S::Value>)) -> slog::Result {
        let start = self.fields.text.len();
        self.fields.text.reserve(64); // for most fields the only time that it may have to grow
        let Some(range) = self
            .style
            .open(key.as_ref(), self.group, &mut self.fields.text)
        else {
            self.fields.text.truncate(start);
            return Ok(());
        };
        let key = self.fields.text.get(range.clone()).unwrap_or_default();
        let hash = hash(key);
        if let Some(at) = self.fields.position(hash, key, self.root) {
            self.fields.text.truncate(start);
            self.fields.seen_again(at, self.group);
            return Ok(());
        }
        let value_start = self.fields.text.len();
        let limit = self.limit_of_field(start);
        let mut value = Bounded::new(&mut self.fields.text, limit.saturating_sub(S::CLOSING));
        write(&mut value);
        if value.cut {
            self.extent = Extent::Cut;
        }
        self.style.close(value_start, &mut self.fields.text);
        let mut end = self.fields.text.len();
        if end > limit {
            // Not even the key has room. It is remembered, at the expense of nobody.
            self.fields.text.truncate(range.end);
            self.limit = self.limit.saturating_add(range.end - start);
            self.extent = Extent::Cut;
            end = start;
        }
        self.fields.push(Entry {
            place: Place::Text(start..end),
            hash,
            key: range,
        });
        Ok(())
    }

    /// Where a field that begins at `start` must end. Those that come first are the newest, but
    /// they must leave room for others, as long as there is some.
    fn limit_of_field(&self, start: usize) -> usize {
        let room = self.limit.saturating_sub(start);
        start + room.saturating_sub(FIELD_ROOM).max(room / 2)
    }

    /// All root key/values, the last one first.
    fn root(&mut self) {
        for (index, field) in self.root.fields.iter().enumerate().rev() {
            let key = field.text.get(field.key.clone()).unwrap_or_default();
            match self.fields.position(field.hash, key, self.root) {
                Some(at) => self.fields.seen_again(at, Group::Logger),
                None => self.fields.push(Entry {
                    place: Place::Root(index),
                    hash: field.hash,
                    key: field.key.clone(),
                }),
            }
        }
    }

    fn unsigned(&mut self, key: &Key, value: u64) -> slog::Result {
        self.field(key, |out| push_decimal(value, out))
    }

    fn signed(&mut self, key: &Key, value: i64) -> slog::Result {
        self.field(key, |out| {
            if value < 0 {
                out.push("-");
            }
            push_decimal(value.unsigned_abs(), out);
        })
    }
}

fn push_decimal<E: Escape>(mut number: u64, out: &mut Bounded<'_, E>) {
    let mut digits = [0; 20]; // of u64::MAX
    let mut first = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    let text = digits.get(first..).map(str::from_utf8);
    out.push(text.and_then(Result::ok).unwrap_or_default());
}

/// Writes what a foreign `Display` says, and survives it.
pub(crate) fn write_arguments<E: Escape>(out: &mut Bounded<'_, E>, value: &fmt::Arguments<'_>) {
    if let Some(text) = value.as_str() {
        return out.push(text);
    }
    let start = out.out.len();
    if catch_unwind(AssertUnwindSafe(|| out.write_fmt(*value))).is_err() {
        out.out.truncate(start);
        out.push(PANICKED);
    }
}

impl<S: FieldStyle> Serializer for Collector<'_, S> {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.field(&key, |out| write_arguments(out, value))
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        self.field(&key, |out| out.push(value))
    }

    fn emit_unit(&mut self, key: Key) -> slog::Result {
        if root::is_mark(&key) {
            self.root();
            return Ok(());
        }
        self.field(&key, |out| out.push("()"))
    }

    fn emit_none(&mut self, key: Key) -> slog::Result {
        self.field(&key, |_| ())
    }

    fn emit_bool(&mut self, key: Key, value: bool) -> slog::Result {
        self.field(&key, |out| out.push(if value { "true" } else { "false" }))
    }

    fn emit_char(&mut self, key: Key, value: char) -> slog::Result {
        self.field(&key, |out| out.push(value.encode_utf8(&mut [0; 4])))
    }

    fn emit_u8(&mut self, key: Key, value: u8) -> slog::Result {
        self.unsigned(&key, value.into())
    }

    fn emit_u16(&mut self, key: Key, value: u16) -> slog::Result {
        self.unsigned(&key, value.into())
    }

    fn emit_u32(&mut self, key: Key, value: u32) -> slog::Result {
        self.unsigned(&key, value.into())
    }

    fn emit_u64(&mut self, key: Key, value: u64) -> slog::Result {
        self.unsigned(&key, value)
    }

    fn emit_usize(&mut self, key: Key, value: usize) -> slog::Result {
        self.unsigned(&key, value as u64)
    }

    fn emit_i8(&mut self, key: Key, value: i8) -> slog::Result {
        self.signed(&key, value.into())
    }

    fn emit_i16(&mut self, key: Key, value: i16) -> slog::Result {
        self.signed(&key, value.into())
    }

    fn emit_i32(&mut self, key: Key, value: i32) -> slog::Result {
        self.signed(&key, value.into())
    }

    fn emit_i64(&mut self, key: Key, value: i64) -> slog::Result {
        self.signed(&key, value)
    }

    fn emit_isize(&mut self, key: Key, value: isize) -> slog::Result {
        self.signed(&key, value as i64)
    }
}
