use std::sync::Arc;

use bytes::{Buf, Bytes};
use tidings_net::Sending;

/// Some bytes of the body of a response. Over HTTP/2, it says how far they have come.
#[derive(Debug)]
pub(crate) struct Portion {
    bytes: Bytes,
    sending: Option<Arc<Sending>>,
}

impl Portion {
    pub(crate) fn new(bytes: Bytes, sending: Option<&Arc<Sending>>) -> Self {
        if let Some(sending) = sending {
            sending.begin(bytes.len());
        }
        Self { bytes, sending: sending.cloned() }
    }
}

impl Buf for Portion {
    #[inline]
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(sending) = &self.sending {
            sending.advance(count);
        }
    }
}

/// A stream that was reset does not send the rest.
impl Drop for Portion {
    fn drop(&mut self) {
        if let Some(sending) = &self.sending {
            sending.leave(self.bytes.len());
        }
    }
}
