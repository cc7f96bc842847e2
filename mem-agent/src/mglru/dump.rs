//! The content of `lru_gen` (L2–L7).

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;

use super::scanner::Scanner;

/// The first word of the line that begins a cgroup.
const HEADER: &[u8] = b"memcg";
/// Elements for which a vector makes room at least.
const SMALLEST_GROWTH: usize = 16;

/// Which cgroups of the file are of interest.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// All.
    All,
    /// Those with one of these paths.
    Paths(&'a HashSet<String>),
    /// The headers of all, without nodes.
    Headers,
}

/// The memory cgroups of `lru_gen`, with paths that point into its text.
///
/// Everything is in three vectors, whatever the number of cgroups and lines.
#[derive(Clone, Debug, Default)]
pub struct Dump<'a> {
    memcgs: Vec<MemcgEntry<'a>>,
    nodes: Vec<NodeEntry>,
    generations: Vec<Generation>,
    /// How many counts were printed as negative ones, such as `-0`.
    pub negative_counts: u64,
    /// How many cgroups have been left out as malformed.
    pub malformed: u64,
}

#[derive(Clone, Debug)]
struct MemcgEntry<'a> {
    id: u64,
    path: &'a str,
    nodes: Range<usize>,
}

#[derive(Clone, Debug)]
struct NodeEntry {
    node: u32,
    generations: Range<usize>,
}

/// A memory cgroup in a [`Dump`].
#[derive(Clone, Copy, Debug)]
pub struct Memcg<'d> {
    dump: &'d Dump<'d>,
    entry: &'d MemcgEntry<'d>,
}

/// A NUMA node of a memory cgroup. It has at least one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'d> {
    /// The number of the node.
    pub node: u32,
    /// In the order of the file: from the oldest to the youngest.
    pub generations: &'d [Generation],
}

/// A line of a NUMA node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// Its number, which grows.
    pub seq: u64,
    /// Milliseconds since it was made. The kernel counts in 32 bits: it wraps after 49.7 days.
    pub age_ms: i64,
    /// Anonymous pages.
    pub anon: u64,
    /// File pages.
    pub file: u64,
}

impl<'a> Dump<'a> {
    /// Reads the text of `lru_gen`. What is malformed is left out, with all of its cgroup.
    pub fn parse(text: &'a [u8], wanted: Wanted<'_>) -> Self {
        let mut dump = Self::default();
        let mut scanner = Scanner::new(text);
        loop {
            scanner.skip_to_line(HEADER);
            if scanner.is_at_end() {
                return dump;
            }
            let Some((id, path)) = header(scanner.take_line()) else {
                continue;
            };
            match wanted {
                Wanted::Paths(paths) if !paths.contains(path) => {}
                Wanted::Headers => dump.close(id, path, Mark::of(&dump)),
                Wanted::All | Wanted::Paths(_) => {
                    let mark = Mark::of(&dump);
                    match dump.body(&mut scanner) {
                        Some(()) => dump.close(id, path, mark),
                        None => {
                            scanner.take_line();
                            dump.roll_back(mark);
                            dump.malformed = dump.malformed.saturating_add(1);
                        }
                    }
                }
            }
        }
    }

    /// The memory cgroups in the order of the file. Paths may occur more than once.
    pub fn memcgs(&self) -> impl Iterator<Item = Memcg<'_>> {
        self.memcgs.iter().map(|entry| Memcg { dump: self, entry })
    }

    /// All up to the next header. None if there is a malformed line.
    fn body(&mut self, scanner: &mut Scanner<'_>) -> Option<()> {
        let mut node = None;
        loop {
            scanner.skip_blanks();
            match scanner.peek() {
                Some(b'0'..=b'9') => {
                    node.as_ref()?;
                    let generation = self.generation(scanner)?;
                    push(&mut self.generations, generation);
                }
                Some(b'\n') => {
                    scanner.end_line();
                }
                Some(b'n') if scanner.accept(b"node") => {
                    self.close_node(node.take());
                    node = Some((node_number(scanner)?, self.generations.len()));
                }
                None => break,
                Some(_) if is_header(*scanner) => break,
                Some(_) => return None,
            }
        }
        self.close_node(node);
        Some(())
    }

    /// `seq age anon file`, from the first digit to the end of the line.
    #[inline]
    fn generation(&mut self, scanner: &mut Scanner<'_>) -> Option<Generation> {
        let seq = scanner.number()?;
        next_word(scanner)?;
        let age_ms = scanner.signed_number()?;
        next_word(scanner)?;
        let anon = self.count(scanner)?;
        next_word(scanner)?;
        let file = self.count(scanner)?;
        (scanner.is_at_word_end() && scanner.end_line()).then_some(Generation {
            seq,
            age_ms,
            anon,
            file,
        })
    }

    /// Pages. A negative number is none: some kernels print `-0` for a type without such a
    /// generation (L4).
    #[inline]
    fn count(&mut self, scanner: &mut Scanner<'_>) -> Option<u64> {
        if scanner.accept(b"-") {
            scanner.number()?;
            self.negative_counts = self.negative_counts.saturating_add(1);
            return Some(0);
        }
        scanner.number()
    }

    /// A node without lines is none (L3).
    fn close_node(&mut self, node: Option<(u32, usize)>) {
        if let Some((node, start)) = node {
            let generations = start..self.generations.len();
            if !generations.is_empty() {
                push(&mut self.nodes, NodeEntry { node, generations });
            }
        }
    }

    fn close(&mut self, id: u64, path: &'a str, mark: Mark) {
        self.order_nodes(mark.nodes);
        let nodes = mark.nodes..self.nodes.len();
        push(&mut self.memcgs, MemcgEntry { id, path, nodes });
    }

    /// Sorts nodes that do not ascend, as those of the kernel do. Of a node that occurs twice, the
    /// last one stays.
    fn order_nodes(&mut self, start: usize) {
        let nodes = self.nodes.get_mut(start..).unwrap_or_default();
        if nodes.is_sorted_by(|a, b| a.node < b.node) {
            return;
        }
        // In place, as there may be many; the last one of a node first.
        nodes.sort_unstable_by_key(|entry| (entry.node, Reverse(entry.generations.start)));
        let mut kept = 0_usize;
        for index in 0..nodes.len() {
            let last = kept.checked_sub(1).and_then(|last| nodes.get(last));
            if last.map(|entry| entry.node) != nodes.get(index).map(|entry| entry.node) {
                nodes.swap(kept, index);
                kept = kept.saturating_add(1);
            }
        }
        self.nodes.truncate(start.saturating_add(kept));
    }

    fn roll_back(&mut self, mark: Mark) {
        self.nodes.truncate(mark.nodes);
        self.generations.truncate(mark.generations);
    }
}

/// Where a memory cgroup begins.
#[derive(Clone, Copy)]
struct Mark {
    nodes: usize,
    generations: usize,
}

impl Mark {
    fn of(dump: &Dump<'_>) -> Self {
        Self {
            nodes: dump.nodes.len(),
            generations: dump.generations.len(),
        }
    }
}

impl<'d> Memcg<'d> {
    /// The kernel's id: 16 bits in older kernels, the 64-bit cgroup id in newer ones, 0 for one
    /// that is offline in some.
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// As printed: with a leading `/`.
    pub fn path(&self) -> &'d str {
        self.entry.path
    }

    /// The nodes that have generations, in ascending order.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'d>> + use<'d> {
        let dump = self.dump;
        let nodes = dump.nodes.get(self.entry.nodes.clone()).unwrap_or_default();
        nodes.iter().filter_map(|entry| {
            Some(Node {
                node: entry.node,
                generations: dump.generations.get(entry.generations.clone())?,
            })
        })
    }
}

impl Node<'_> {
    /// The oldest generation: the first line with the lowest number.
    pub fn oldest(&self) -> Generation {
        let oldest = self.generations.iter().min_by_key(|line| line.seq);
        oldest.copied().unwrap_or_default()
    }

    /// The number of the youngest generation.
    pub fn max_seq(&self) -> u64 {
        self.generations
            .iter()
            .map(|line| line.seq)
            .max()
            .unwrap_or(0)
    }

    /// Milliseconds since the last generation was made.
    pub fn youngest_age_ms(&self) -> i64 {
        let ages = self.generations.iter().map(|line| line.age_ms);
        ages.min().unwrap_or(0)
    }
}

/// Adds to a vector that grows by half of its length. One that doubles would take eight times the
/// text, if that consists of the shortest lines, and while it is moved even more.
#[inline]
fn push<T>(vector: &mut Vec<T>, value: T) {
    if vector.len() == vector.capacity() {
        vector.reserve_exact((vector.len() / 2).max(SMALLEST_GROWTH));
    }
    vector.push(value);
}

/// Whether the line begins with the word `memcg`.
fn is_header(mut scanner: Scanner<'_>) -> bool {
    scanner.accept(HEADER) && scanner.is_at_word_end()
}

/// Id and path of `memcg <id> <path>`; the path is all after one blank, whatever it contains (L2).
fn header(line: &[u8]) -> Option<(u64, &str)> {
    let mut scanner = Scanner::new(line);
    scanner.accept(HEADER);
    scanner.skip_blanks();
    let id = scanner.number()?;
    if !scanner.accept(b" ") {
        return None;
    }
    let path = std::str::from_utf8(scanner.take_line()).ok()?;
    (!path.is_empty()).then_some((id, path))
}

/// The rest of a line after the word `node`.
fn node_number(scanner: &mut Scanner<'_>) -> Option<u32> {
    next_word(scanner)?;
    let number = u32::try_from(scanner.number()?).ok()?;
    (scanner.is_at_word_end() && scanner.end_line()).then_some(number)
}

/// Passes over at least one blank.
#[inline]
fn next_word(scanner: &mut Scanner<'_>) -> Option<()> {
    matches!(scanner.peek(), Some(b' ' | b'\t')).then(|| scanner.skip_blanks())
}

#[cfg(test)]
mod tests;
