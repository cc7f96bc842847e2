//! The key/values of a root logger: the same for each record of its life.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slog::{KV, Key, Record, Serializer};

/// Longest value, in bytes: a longer one would take the room of the record itself.
const MAX_VALUE: usize = 16 * 1024;

/// The key that stands for all root key/values, see [`with_known_root`]. Not a constant, which may
/// have several addresses.
static MARK: &str = "\0root";

thread_local! {
    /// The root whose key/values the reader on this thread has already.
    static KNOWN: Cell<u64> = const { Cell::new(0) };
}

/// Root key/values, in the order in which they are written.
#[derive(Debug)]
pub(crate) struct Root {
    id: u64,
    fields: Vec<(&'static str, String)>,
}

impl Root {
    pub(crate) fn new(fields: Vec<(&'static str, String)>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1); // 0 is no root
        let mut fields = fields;
        for (_, value) in &mut fields {
            if value.len() > MAX_VALUE {
                let (head, _) = crate::text::split_at_char_boundary(value, MAX_VALUE);
                *value = format!("{head}…");
            }
        }
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            fields,
        })
    }

    pub(crate) fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }
}

/// What goes into the logger: its part of the chain of key/values.
pub(crate) struct RootKv(pub(crate) Arc<Root>);

impl KV for RootKv {
    fn serialize(&self, _record: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        if KNOWN.get() == self.0.id {
            return serializer.emit_unit(MARK.into());
        }
        // The last one first, like the lists that `o!` makes.
        for (key, value) in self.0.fields.iter().rev() {
            serializer.emit_str((*key).into(), value)?;
        }
        Ok(())
    }
}

/// Runs `read`, in which the key/values of `root` appear as one unit, recognised by [`is_mark`]:
/// the pipeline that owns them keeps them rendered.
pub(crate) fn with_known_root<T>(root: &Root, read: impl FnOnce() -> T) -> T {
    struct Restore(u64);
    impl Drop for Restore {
        fn drop(&mut self) {
            KNOWN.set(self.0);
        }
    }
    let _restore = Restore(KNOWN.replace(root.id));
    read()
}

/// Whether this is the key that stands for the root key/values. By address: nobody else can make it.
pub(crate) fn is_mark(key: &Key) -> bool {
    std::ptr::eq::<str>(key.as_ref(), MARK)
}
