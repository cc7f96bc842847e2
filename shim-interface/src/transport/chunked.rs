//! Chunked transfer coding. RFC 9112, section 7.1.

use super::head::malformed;
use crate::shim_mgmt::RequestErrorKind;

/// How many bytes of chunk extensions and trailer fields a response may have. They carry nothing
/// that anybody here asks for, and would otherwise let a server send without end.
const MAX_OVERHEAD: usize = 64 << 10;

/// A decoder that takes the bytes as they come.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Of the current chunk: its size while that is read, then what is still missing.
    left: u64,
    overhead: usize,
    limit: usize,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first digit.
    Size,
    /// After a digit.
    SizeDigits,
    /// After a blank after the size.
    Blank,
    /// After a semicolon, up to the end of the line.
    Extension,
    /// After the CR of that line.
    SizeEnd,
    Data,
    /// After the data: CR, or LF alone.
    DataEnd,
    DataLf,
    /// At the beginning of a line after the last chunk.
    Trailer,
    /// Within one.
    TrailerField,
    /// After a CR at the beginning of a line.
    TrailerEnd,
    Done,
}

impl Chunked {
    /// A decoder of a body of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: State::Size,
            left: 0,
            overhead: 0,
            limit,
            body: Vec::new(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Takes `bytes` up to the end of the body. Returns how many come after it.
    pub(super) fn decode(&mut self, mut bytes: &[u8]) -> Result<usize, RequestErrorKind> {
        while self.state != State::Done {
            if self.state == State::Data {
                bytes = self.take_data(bytes);
            }
            let Some((&byte, rest)) = bytes.split_first() else {
                break;
            };
            bytes = rest;
            self.state = self.after(byte)?;
        }
        Ok(bytes.len())
    }

    /// Takes what belongs to the current chunk. Returns the rest.
    fn take_data<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (data, rest) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
        self.body.extend_from_slice(data);
        self.left = self.left.saturating_sub(data.len() as u64);
        if self.left == 0 {
            self.state = State::DataEnd;
        }
        rest
    }

    /// The state after `byte`, anywhere but within data.
    fn after(&mut self, byte: u8) -> Result<State, RequestErrorKind> {
        match (self.state, byte) {
            (State::Size | State::SizeDigits, digit) if digit.is_ascii_hexdigit() => {
                let value = char::from(digit).to_digit(16).unwrap_or_default();
                self.left = self
                    .left
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(u64::from(value)))
                    .ok_or_else(|| malformed("chunk size exceeds 64 bits"))?;
                self.count_overhead()?; // leading zeros
                Ok(State::SizeDigits)
            }
            (State::SizeDigits | State::Blank, b';') => Ok(State::Extension),
            (State::SizeDigits | State::Blank, b' ' | b'\t') => {
                self.count_overhead()?;
                Ok(State::Blank)
            }
            (State::SizeDigits | State::Blank | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::SizeDigits | State::Blank | State::Extension | State::SizeEnd, b'\n') => {
                self.begin_chunk()
            }
            (State::Extension, _) => {
                self.count_overhead()?;
                Ok(State::Extension)
            }
            (State::DataEnd, b'\r') => Ok(State::DataLf),
            (State::DataEnd | State::DataLf, b'\n') => Ok(State::Size),
            (State::Trailer, b'\r') => Ok(State::TrailerEnd),
            (State::Trailer | State::TrailerEnd, b'\n') => Ok(State::Done),
            (State::Trailer | State::TrailerField, _) => {
                self.count_overhead()?;
                let is_end = byte == b'\n';
                Ok(if is_end {
                    State::Trailer
                } else {
                    State::TrailerField
                })
            }
            (State::Size, _) => Err(malformed("a chunk without a size")),
            (State::SizeDigits | State::Blank, _) => {
                Err(malformed("a chunk size that is not hexadecimal"))
            }
            (State::SizeEnd | State::DataLf | State::TrailerEnd, _) => {
                Err(malformed("a CR without LF between chunks"))
            }
            (State::DataEnd, _) => Err(malformed("a chunk longer than its size")),
            (State::Data | State::Done, _) => Ok(self.state),
        }
    }

    /// At the end of a line with a size.
    fn begin_chunk(&mut self) -> Result<State, RequestErrorKind> {
        if self.left == 0 {
            return Ok(State::Trailer);
        }
        let room = self.limit.saturating_sub(self.body.len());
        if self.left > room as u64 {
            return Err(RequestErrorKind::BodyTooLarge(self.limit));
        }
        Ok(State::Data)
    }

    fn count_overhead(&mut self) -> Result<(), RequestErrorKind> {
        // Digits of the sizes of many small chunks are counted as well: allow for them.
        self.overhead = self.overhead.saturating_add(1);
        if self.overhead > MAX_OVERHEAD.saturating_add(self.body.len()) {
            return Err(malformed("too many chunk extensions or trailer fields"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> Result<(Vec<u8>, usize, bool), RequestErrorKind> {
        let mut chunked = Chunked::new(100);
        let after = chunked.decode(bytes)?;
        let is_done = chunked.is_done();
        Ok((chunked.into_body(), after, is_done))
    }

    #[test]
    fn chunks_are_joined() {
        for (bytes, body) in [
            ("0\r\n\r\n", ""),
            ("3\r\nabc\r\n0\r\n\r\n", "abc"),
            (
                "3\r\nabc\r\n00a\r\n0123456789\r\n0\r\n\r\n",
                "abc0123456789",
            ),
            ("A;name=\"v\"\r\n0123456789\r\n0 ; x\r\n\r\n", "0123456789"),
            ("1\na\n0\n\n", "a"),
            ("2\r\n\r\n\r\n0\r\na: b\r\nc: d\r\n\r\n", "\r\n"),
        ] {
            let expected = (body.as_bytes().to_vec(), 0, true);
            assert_eq!(decode(bytes.as_bytes()).unwrap(), expected, "{bytes:?}");
        }
        let (_, after, _) = decode(b"0\r\n\r\nHTTP").unwrap();
        assert_eq!(after, 4);
    }

    #[test]
    fn broken_chunks_are_malformed() {
        for bytes in [
            "\r\n",
            ";\r\n",
            "-1\r\n",
            "x\r\n",
            "1g\r\n",
            "1 2\r\n",
            "1 \t2\r\n",
            "1\rx",
            "1\r\nab",
            "1\r\na\rb",
            "10000000000000000\r\n",
            "0\r\n\rx",
        ] {
            let result = decode(bytes.as_bytes());
            let is_malformed = matches!(result, Err(RequestErrorKind::Malformed(_)));
            assert!(is_malformed, "{bytes:?}: {result:?}");
        }
    }

    #[test]
    fn the_limit_holds_before_a_chunk_is_read() {
        for bytes in [
            "65\r\n".to_owned(),
            "FFFFFFFFFFFFFFFF\r\n".to_owned(),
            format!("64\r\n{}\r\n1\r\n", "a".repeat(100)),
        ] {
            let result = decode(bytes.as_bytes());
            assert!(matches!(result, Err(RequestErrorKind::BodyTooLarge(100))));
        }
    }

    #[test]
    fn what_is_no_body_is_bounded() {
        for (start, more) in [
            ("1;", "x"),
            ("", "0"),
            ("1", " "),
            ("0\r\n", "a: b\r\n"),
            ("0\r\n", "x"),
        ] {
            let mut chunked = Chunked::new(100);
            chunked.decode(start.as_bytes()).unwrap();
            let result =
                (0..=MAX_OVERHEAD).try_for_each(|_| chunked.decode(more.as_bytes()).map(drop));
            assert!(
                matches!(result, Err(RequestErrorKind::Malformed(_))),
                "{more:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_body_survives_any_chunks_and_any_reads(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..8),
            step in 1_usize..9,
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            let mut chunked = Chunked::new(1000);
            for part in bytes.chunks(step) {
                prop_assert!(!chunked.is_done());
                prop_assert_eq!(chunked.decode(part).unwrap(), 0);
            }
            prop_assert!(chunked.is_done());
            prop_assert_eq!(chunked.into_body(), chunks.concat());
        }

        #[test]
        fn no_bytes_make_it_panic_or_exceed_the_limit(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'f'), any::<u8>()], 0..64),
        ) {
            if let Ok((body, after, _)) = decode(&bytes) {
                prop_assert!(body.len() <= 100 && after <= bytes.len());
            }
        }
    }
}
