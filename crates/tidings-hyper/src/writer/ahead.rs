use std::io::{self, Read};

use bytes::Bytes;

/// What a client has sent after its request: its next requests, or junk.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    kept: Vec<u8>,
    received: usize,
}

impl Ahead {
    /// How many bytes are kept for the time after the stream. If there are more, the connection ends with it.
    const KEPT: usize = 8 * 1024;
    /// How many bytes are received. If there are more, the stream ends.
    const MOST: usize = 16 * 1024;

    /// Copies what was read before the stream: a slice would keep the whole buffer that was read into.
    pub(super) fn of(pipelined: &[u8]) -> Option<Box<Self>> {
        let mut ahead = Self::default();
        ahead.receive(pipelined);
        (!pipelined.is_empty()).then(|| Box::new(ahead))
    }

    /// Reads what there is. Returns whether the stream may go on.
    pub(super) fn read_from(&mut self, mut socket: impl Read) -> io::Result<bool> {
        let mut some = [0; 4096];
        while self.is_tolerable() {
            match socket.read(&mut some) {
                Ok(0) => return Ok(false),
                Ok(length) => self.receive(&some[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.received += bytes.len();
        match self.received <= Self::KEPT {
            true => self.kept.extend_from_slice(bytes),
            false => self.kept = Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.received == 0
    }

    pub(super) fn is_tolerable(&self) -> bool {
        self.received <= Self::MOST
    }

    /// All that was received, or `None` if a part was not kept.
    pub(super) fn into_requests(self: Box<Self>) -> Option<Bytes> {
        (self.kept.len() == self.received).then(|| self.kept.into())
    }
}
