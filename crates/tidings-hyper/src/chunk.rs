//! The chunked transfer coding: RFC 9112, section 7.1.

use std::io::{self, IoSlice, Write};

use bytes::Bytes;

/// The end of a body: the last chunk, and no trailers.
pub(crate) const END: &[u8] = b"0\r\n\r\n";

const LINE_END: &[u8] = b"\r\n";

/// The line before a chunk: its length in hexadecimal digits.
struct SizeLine {
    bytes: [u8; Self::MOST],
    start: usize,
}

impl SizeLine {
    /// 16 digits and the line end.
    const MOST: usize = 18;

    fn of(mut length: usize) -> Self {
        let mut bytes = *b"................\r\n";
        let mut start = Self::MOST - LINE_END.len();
        loop {
            start -= 1;
            bytes[start] = b"0123456789abcdef"[length % 16];
            length /= 16;
            if length == 0 {
                return Self { bytes, start };
            }
        }
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// Appends a chunk to `out`.
pub(crate) fn write(data: &[u8], out: &mut Vec<u8>) {
    out.reserve(SizeLine::MOST + data.len() + LINE_END.len());
    out.extend_from_slice(SizeLine::of(data.len()).as_slice());
    out.extend_from_slice(data);
    out.extend_from_slice(LINE_END);
}

/// Bytes on their way to a socket that did not take all of them.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Shared with all streams that are sent the same.
    bytes: Bytes,
    is_chunk: bool,
    /// How many bytes were sent, framing included.
    written: usize,
}

impl Outgoing {
    /// Bytes without framing, of which the first `written` were sent.
    pub(crate) fn raw(bytes: Bytes, written: usize) -> Self {
        Self { bytes, is_chunk: false, written }
    }

    /// A chunk with these bytes, of which the first `written` were sent, its framing included.
    pub(crate) fn chunk(bytes: Bytes, written: usize) -> Self {
        Self { bytes, is_chunk: true, written }
    }

    /// Writes what the socket takes. Returns whether everything is written;
    /// [`written`](Self::written) tells how much is.
    pub(crate) fn write_to(&mut self, mut socket: impl Write) -> io::Result<bool> {
        let line = SizeLine::of(self.bytes.len());
        let parts: [&[u8]; 3] = match self.is_chunk {
            true => [line.as_slice(), &self.bytes, LINE_END],
            false => [&[], &self.bytes, &[]],
        };
        let length = parts.iter().map(|part| part.len()).sum();
        while self.written < length {
            let mut skip = self.written;
            let rest = parts.map(|part| {
                let skipped = skip.min(part.len());
                skip -= skipped;
                IoSlice::new(&part[skipped..])
            });
            match socket.write_vectored(&rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// How many bytes are held for it, without framing.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn written(&self) -> usize {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes a few bytes at every second write.
    struct Narrow {
        taken: Vec<u8>,
        at_once: usize,
        full: bool,
    }

    impl Write for &mut Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.full = !self.full;
            if !self.full {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(self.at_once);
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
            self.write(&parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_chunk_has_its_length_in_hexadecimal_digits() {
        for (length, line) in [(1, "1\r\n"), (10, "a\r\n"), (16, "10\r\n"), (65_536, "10000\r\n")] {
            let data = vec![b'x'; length];
            let mut out = Vec::new();
            write(&data, &mut out);
            assert_eq!(out, [line.as_bytes(), &data, b"\r\n"].concat());
        }
        assert_eq!(SizeLine::of(usize::MAX).as_slice().len(), SizeLine::MOST);
    }

    #[test]
    fn a_chunk_that_is_interrupted_at_any_byte_goes_on_there() {
        let data = Bytes::from_static(b"data: hello, world\n\n");
        let mut whole = Vec::new();
        write(&data, &mut whole);
        for before in 0..=whole.len() {
            for at_once in 1..=whole.len() {
                let mut socket = Narrow { taken: whole[..before].to_vec(), at_once, full: false };
                let mut outgoing = Outgoing::chunk(data.clone(), before);
                let mut turns = 0;
                while !outgoing.write_to(&mut socket).unwrap() {
                    turns += 1;
                    assert!(turns <= whole.len(), "it makes no progress");
                }
                assert_eq!(socket.taken, whole);
                assert_eq!(outgoing.written(), whole.len());
            }
        }
    }

    #[test]
    fn raw_bytes_have_no_framing() {
        let mut socket = Narrow { taken: Vec::new(), at_once: 3, full: false };
        let mut outgoing = Outgoing::raw(Bytes::from_static(b"data: x\n\n"), 0);
        while !outgoing.write_to(&mut socket).unwrap() {}
        assert_eq!(socket.taken, b"data: x\n\n");
    }

    #[test]
    fn a_socket_that_is_gone_is_an_error() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let outcome = Outgoing::raw(Bytes::from_static(b"x"), 0).write_to(Gone);
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
