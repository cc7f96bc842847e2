//! Reads what announces its own length on the wire, without trust in the announcement.
//!
//! The functions of `protobuf` 3.7 reserve up to 10 MB for a string, and up to 10 000 000 elements
//! for a packed list, before they see whether as much follows: five bytes from the other side would
//! take 80 MB. The generated modules call the functions of this module instead; the build script
//! (`build/bounded.rs`) puts them there. They reserve for bytes that are there, and give the same
//! values.
//!
//! A message that is decoded from a slice, as ttrpc does, so takes at most 8 bytes for each of the
//! wire for its packed lists, also if it splits one over several fields. From a stream that does not
//! show all of it, a list doubles as it grows.

use std::io::{self, BufRead};

use protobuf::rt::{WireType, read_unknown_or_skip_group};
use protobuf::{CodedInputStream, Result, UnknownFields};

/// Reads a packed list and adds it to `list`.
///
/// `read` takes one value, `count` tells how many of them some bytes hold.
pub(crate) fn packed<'a, T>(
    is: &mut CodedInputStream<'a>,
    list: &mut Vec<T>,
    read: impl Fn(&mut CodedInputStream<'a>) -> Result<T>,
    count: impl Fn(&[u8]) -> usize,
) -> Result<()> {
    let length = is.read_raw_varint64()?;
    if length == 0 {
        // A stream need not have anything behind it, so it is not asked.
        return Ok(());
    }
    let rest = is.fill_buf()?.len();
    let outer = is.push_limit(length)?;
    let values = count(is.fill_buf()?);
    if list.capacity() - list.len() < values {
        // A message of many small lists must not move the whole list for each, so it doubles, but
        // not beyond what can follow in this message: a value takes a byte or more. An eighth is
        // left for the other fields there.
        let growth = list.len().min(rest - rest / 8);
        list.reserve_exact(growth.max(values));
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
    if is_at_hand(is)? {
        return is.read_string();
    }
    String::from_utf8(gathered(is)?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error).into())
}

/// Reads `bytes`.
pub(crate) fn bytes(is: &mut CodedInputStream<'_>) -> Result<Vec<u8>> {
    if is_at_hand(is)? {
        return is.read_bytes();
    }
    gathered(is)
}

/// Reads the field with this `tag`, which the message does not know, into `fields`.
pub(crate) fn unknown(
    tag: u32,
    is: &mut CodedInputStream<'_>,
    fields: &mut UnknownFields,
) -> Result<()> {
    let number = tag >> 3;
    // There is no field 0; the other function refuses it.
    if tag & 7 == WireType::LengthDelimited as u32 && number != 0 && !is_at_hand(is)? {
        fields.add_length_delimited(number, gathered(is)?);
        return Ok(());
    }
    read_unknown_or_skip_group(tag, is, fields)
}

/// Whether the buffer holds all of the value whose length comes next. A slice is its own buffer.
fn is_at_hand(is: &mut CodedInputStream<'_>) -> Result<bool> {
    let mut rest = is.fill_buf()?.iter();
    let mut length = 0;
    for shift in [0, 7, 14, 21, 28] {
        let Some(byte) = rest.next() else { break };
        length |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok(usize::try_from(length).is_ok_and(|length| length <= rest.len()));
        }
    }
    Ok(false)
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
