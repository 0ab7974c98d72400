//! The chunked transfer coding (RFC 9112, section 7.1), read as it arrives.

/// What is wrong with a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

/// Where in a chunked body the next byte belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// In the digits of a chunk's size.
    Size { size: u64, digits: u8 },
    /// Between the size and its LF: an extension, or the CR.
    Extension { size: u64 },
    /// In a chunk of which so much is left.
    Data { left: u64 },
    /// In the line break after a chunk.
    DataEnd,
    /// In the trailers; the flag says whether the current line is empty so far.
    Trailer { empty: bool },
    /// Behind the end.
    Done,
}

impl Chunked {
    pub(crate) const START: Self = Self::Size { size: 0, digits: 0 };

    /// Takes the next bytes, and hands out the data in them without copying it.
    pub(crate) fn feed<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut data: impl FnMut(&'a [u8]),
    ) -> Result<(), BadChunk> {
        while let Some((&byte, after)) = bytes.split_first() {
            if let Self::Data { left } = *self {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let (part, rest) = bytes.split_at(here);
                data(part);
                bytes = rest;
                *self = match left - here as u64 {
                    0 => Self::DataEnd,
                    left => Self::Data { left },
                };
                continue;
            }
            bytes = after;
            *self = match (*self, byte) {
                (Self::Size { digits: 0, .. }, b'\r' | b'\n' | b';') => return Err(BadChunk),
                (Self::Size { size, .. } | Self::Extension { size }, b'\n') => Self::body(size),
                (Self::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') => Self::Extension { size },
                (Self::Size { size, digits }, _) => {
                    let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
                    if digits == 15 {
                        return Err(BadChunk);
                    }
                    Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
                }
                (Self::Extension { size }, _) => Self::Extension { size },
                (Self::DataEnd, b'\r') => Self::DataEnd,
                (Self::DataEnd, b'\n') => Self::START,
                (Self::DataEnd, _) => return Err(BadChunk),
                (Self::Trailer { empty: true }, b'\n') => Self::Done,
                (Self::Trailer { .. }, b'\n') => Self::Trailer { empty: true },
                (Self::Trailer { empty }, byte) => Self::Trailer { empty: empty && byte == b'\r' },
                (Self::Done, _) => return Ok(()),
                (Self::Data { .. }, _) => return Err(BadChunk),
            };
        }
        Ok(())
    }

    fn body(size: u64) -> Self {
        match size {
            0 => Self::Trailer { empty: true },
            left => Self::Data { left },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &[u8], size: usize) -> (Chunked, Result<Vec<u8>, BadChunk>) {
        let mut chunked = Chunked::START;
        let mut data = Vec::new();
        let fed = body
            .chunks(size)
            .try_for_each(|part| chunked.feed(part, |part| data.extend_from_slice(part)));
        (chunked, fed.map(|()| data))
    }

    #[test]
    fn however_it_is_cut_the_data_is_the_same() {
        let body = b"5\r\nhello\r\n1;name=value\r\n \r\n0A\r\n0123456789\r\n0\r\nx: y\r\n\r\n";
        for size in 1..=body.len() {
            let (end, data) = decode(body, size);
            assert_eq!(data.unwrap(), b"hello 0123456789", "in pieces of {size}");
            assert_eq!(end, Chunked::Done);
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for body in ["x\r\n", "\r\n", "3\r\nabcd\r\n", "1000000000000000\r\n", ";x\r\n"] {
            assert_eq!(decode(body.as_bytes(), 1).1, Err(BadChunk), "{body:?}");
        }
    }

    #[test]
    fn without_its_last_chunk_it_is_not_done() {
        assert_ne!(decode(b"1\r\na\r\n", 1).0, Chunked::Done);
        assert_ne!(decode(b"1\r\na\r\n0\r\n", 1).0, Chunked::Done);
    }
}
