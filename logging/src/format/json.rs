//! One JSON object per line (4.1).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use slog::{OwnedKVList, Record};

use super::{FIELD_ROOM, Format, MAX_RECORD, Scratch, TRUNCATED};
use crate::root::Root;
use crate::text::{Bounded, Escape, JsonText};
use crate::unique_keys::{Extent, FieldStyle, Fields, Group, RootFields, Source, write_arguments};

/// Keys of our own that a key of the user must not repeat, with what that is called instead (D8).
const RESERVED: [(&str, &str); 3] = [("msg", "kv_msg"), ("level", "kv_level"), ("ts", "kv_ts")];

/// Room for everything that is neither message nor key/value.
const FRAME_ROOM: usize = 128;

#[derive(Debug)]
pub(crate) struct Json {
    root: Arc<Root>,
    root_fields: RootFields,
}

impl Json {
    pub(crate) fn new(root: Arc<Root>) -> Self {
        Self {
            root_fields: RootFields::new(&root, &JsonFields),
            root,
        }
    }
}

impl Format for Json {
    fn render(
        &self,
        scratch: &mut Scratch,
        record: &Record<'_>,
        values: &OwnedKVList,
        time: Duration,
    ) -> usize {
        let Scratch {
            line,
            fields,
            clock,
        } = scratch;
        line.clear();
        line.extend_from_slice(b"{\"msg\":\"");
        let reserved = FRAME_ROOM + self.root_fields.len();
        let mut message =
            Bounded::<JsonText>::new(line, MAX_RECORD.saturating_sub(FIELD_ROOM + reserved));
        write_arguments(&mut message, record.msg());
        let message_is_cut = message.cut;
        line.extend_from_slice(b"\",\"level\":\"");
        line.extend_from_slice(record.level().as_short_str().as_bytes());
        line.extend_from_slice(b"\",\"ts\":\"");
        clock.write(time, line);
        line.push(b'"');

        let source = Source {
            record,
            values,
            root: &self.root,
            root_fields: &self.root_fields,
        };
        let room = MAX_RECORD.saturating_sub(line.len() + reserved);
        let extent = fields.collect(&source, &JsonFields, room);
        if message_is_cut || extent == Extent::Cut {
            fields.append(TRUNCATED, "true", &JsonFields);
        }
        push_fields(fields, &self.root_fields, line);
        line.extend_from_slice(b"}\n");
        0
    }

    fn root(&self) -> &Root {
        &self.root
    }

    fn shared_root(&self) -> Arc<Root> {
        Arc::clone(&self.root)
    }
}

fn push_fields(fields: &Fields, root: &RootFields, line: &mut Vec<u8>) {
    for group in [Group::Logger, Group::Record] {
        for field in fields.of(group, root) {
            line.extend_from_slice(field);
        }
    }
}

/// `,"key":"value"`
struct JsonFields;

impl FieldStyle for JsonFields {
    type Value = JsonText;

    const CLOSING: usize = 1;

    #[inline]
    fn open(&self, key: &str, _: Group, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let key = RESERVED
            .iter()
            .find(|(reserved, _)| *reserved == key)
            .map_or(key, |(_, instead)| instead);
        out.extend_from_slice(b",\"");
        let start = out.len();
        JsonText::escape(key, out);
        let end = out.len();
        out.extend_from_slice(b"\":\"");
        Some(start..end)
    }

    #[inline]
    fn close(&self, _: usize, out: &mut Vec<u8>) {
        out.push(b'"');
    }
}
