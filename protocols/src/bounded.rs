//! Reads what announces its own length on the wire, without trust in the announcement, and makes
//! room for lists.
//!
//! The functions of `protobuf` 3.7 reserve up to 10 MB for a string, and up to 10 000 000 elements
//! for a packed list, before they see whether as much follows: five bytes from the other side would
//! take 80 MB. The generated modules call the functions of this module instead; the build script
//! (`build/bounded.rs`) puts them there. They reserve for bytes that are there, and give the same
//! values.
//!
//! A list doubles as it grows, but not beyond what the rest of the message can hold, unless it is
//! short. So a message that is decoded from a slice, as ttrpc does, takes at most 8 bytes for each of
//! the wire for its packed lists, also if it splits one over several fields, and room for one element
//! in two bytes for any other list. Of a stream that shows its bytes in parts the rest is not known: a
//! list doubles there, and may have room for twice as much.

use std::error::Error;
use std::io::{self, BufRead};
use std::ops::Range;

use protobuf::rt::{WireType, read_unknown_or_skip_group};
use protobuf::{CodedInputStream, Result, UnknownFields};

/// How much of a message there is to be seen while its fields are read.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Where what was to be seen ended when a list grew first.
    end: Option<u64>,
}

impl Shown {
    /// The number of bytes up to the end of the message; `None` in a stream that has shown more of it
    /// than it did before. The next byte must be one of the message, so that it is there to be had.
    fn rest(&mut self, is: &mut CodedInputStream<'_>) -> io::Result<Option<usize>> {
        let rest = is.fill_buf()?.len();
        let end = is.pos().saturating_add(rest as u64);
        Ok((*self.end.get_or_insert(end) == end).then_some(rest))
    }
}

/// Fewer elements are left to grow by themselves, which costs nothing here: most lists are short.
const FEW: usize = 64;

/// Makes room in `list` for the element whose tag has been read.
#[inline]
pub(crate) fn grow<T>(
    is: &mut CodedInputStream<'_>,
    shown: &mut Shown,
    list: &mut Vec<T>,
) -> Result<()> {
    if list.len() < list.capacity() || list.len() < FEW {
        return Ok(());
    }
    make_room(is, shown, list)
}

#[cold]
fn make_room<T>(is: &mut CodedInputStream<'_>, shown: &mut Shown, list: &mut Vec<T>) -> Result<()> {
    match shown.rest(is)? {
        // The elements behind this one have a tag and a byte or more.
        Some(rest) => list.reserve_exact(list.len().min(rest / 2).max(1)),
        None => list.reserve(1),
    }
    Ok(())
}

/// Reads a packed list and adds it to `list`.
///
/// `read` takes one value, `count` tells how many of them some bytes hold.
pub(crate) fn packed<'a, T>(
    is: &mut CodedInputStream<'a>,
    shown: &mut Shown,
    list: &mut Vec<T>,
    read: impl Fn(&mut CodedInputStream<'a>) -> Result<T>,
    count: impl Fn(&[u8]) -> usize,
) -> Result<()> {
    let length = is.read_raw_varint64()?;
    if length == 0 {
        // A stream need not have anything behind it, so it is not asked.
        return Ok(());
    }
    let rest = shown.rest(is)?;
    let outer = is.push_limit(length)?;
    let values = count(is.fill_buf()?);
    if list.capacity() - list.len() < values {
        match rest {
            Some(rest) => {
                // A message of many small lists must not move the whole list for each, so it doubles,
                // but not beyond what can follow in this message: a value takes a byte or more. An
                // eighth is left for the other fields there.
                let growth = list.len().min(rest - rest / 8);
                list.reserve_exact(growth.max(values));
            }
            None => list.reserve(values),
        }
    }
    while !is.eof()? {
        list.push(read(is)?);
    }
    is.pop_limit(outer);
    Ok(())
}

/// How many varints end in `bytes`.
pub(crate) fn varints(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte < 0x80).count()
}

/// Reads a `string`.
pub(crate) fn string(is: &mut CodedInputStream<'_>) -> Result<String> {
    let Some(place) = at_hand(is)? else {
        return String::from_utf8(gathered(is)?).map_err(invalid);
    };
    let shown = is.fill_buf()?.get(place.clone()).unwrap_or_default();
    let text = str::from_utf8(shown).map_err(invalid)?.to_owned();
    is.consume(place.end);
    Ok(text)
}

fn invalid(error: impl Into<Box<dyn Error + Send + Sync>>) -> protobuf::Error {
    io::Error::new(io::ErrorKind::InvalidData, error).into()
}

/// Reads `bytes`.
pub(crate) fn bytes(is: &mut CodedInputStream<'_>) -> Result<Vec<u8>> {
    let Some(place) = at_hand(is)? else {
        return gathered(is);
    };
    let shown = is.fill_buf()?.get(place.clone()).unwrap_or_default();
    let bytes = shown.to_vec();
    is.consume(place.end);
    Ok(bytes)
}

/// Reads the field with this `tag`, which the message does not know, into `fields`.
pub(crate) fn unknown(
    tag: u32,
    is: &mut CodedInputStream<'_>,
    fields: &mut UnknownFields,
) -> Result<()> {
    let number = tag >> 3;
    // There is no field 0; the other function refuses it.
    if tag & 7 == WireType::LengthDelimited as u32 && number != 0 && at_hand(is)?.is_none() {
        fields.add_length_delimited(number, gathered(is)?);
        return Ok(());
    }
    read_unknown_or_skip_group(tag, is, fields)
}

/// Where in the buffer the value is whose length comes next, if all of it is there. A slice is its own
/// buffer.
fn at_hand(is: &mut CodedInputStream<'_>) -> Result<Option<Range<usize>>> {
    let shown = is.fill_buf()?;
    let mut length = 0;
    for (place, byte) in shown.iter().take(5).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            let start = place + 1;
            let end = usize::try_from(length).ok();
            let end = end.and_then(|length| length.checked_add(start));
            return Ok(end.filter(|end| *end <= shown.len()).map(|end| start..end));
        }
    }
    Ok(None)
}

/// Reads the length and as many bytes, as they come.
fn gathered(is: &mut CodedInputStream<'_>) -> Result<Vec<u8>> {
    let length = u64::from(is.read_raw_varint32()?);
    let outer = is.push_limit(length)?;
    let mut bytes = Vec::new();
    loop {
        let part = is.fill_buf()?;
        if part.is_empty() {
            break;
        }
        let taken = part.len();
        bytes.extend_from_slice(part);
        is.consume(taken);
    }
    is.pop_limit(outer);
    if (bytes.len() as u64) < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
