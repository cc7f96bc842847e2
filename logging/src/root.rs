//! The key/values of a root logger: the same for each record of its life.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slog::{KV, Key, Record, Serializer};

/// Longest value, in bytes: a longer one would take the room of the record itself.
const MAX_VALUE: usize = 16 * 1024;

/// The key that stands for all root key/values, see [`with_known_root`]. Not a constant, which may
/// have several addresses.
static MARK: &str = "\0root";

thread_local! {
    /// The root whose key/values a reader on this thread has already, and the address of the reader:
    /// while it reads, a value may log to somebody else.
    static KNOWN: Cell<(u64, *const ())> = const { Cell::new((0, ptr::null())) };
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
        if KNOWN.get() == (self.0.id, ptr::from_mut(serializer).cast_const().cast()) {
            return serializer.emit_unit(MARK.into());
        }
        // The last one first, like the lists that `o!` makes.
        for (key, value) in self.0.fields.iter().rev() {
            serializer.emit_str((*key).into(), value)?;
        }
        Ok(())
    }
}

/// Runs `read`, in which the key/values of `root` appear to `reader` as one unit, recognised by
/// [`is_mark`]: the pipeline that owns them keeps them rendered.
#[inline]
pub(crate) fn with_known_root<S, T>(
    root: &Root,
    reader: &mut S,
    read: impl FnOnce(&mut S) -> T,
) -> T {
    struct Restore<'a>(&'a Cell<(u64, *const ())>, (u64, *const ()));
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    KNOWN.with(|known| {
        let reader_address = ptr::from_mut(reader).cast_const().cast();
        let before = known.replace((root.id, reader_address));
        let _restore = Restore(known, before);
        read(reader)
    })
}

/// Whether this is the key that stands for the root key/values. By address: nobody else can make it.
pub(crate) fn is_mark(key: &Key) -> bool {
    ptr::eq::<str>(key.as_ref(), MARK)
}
