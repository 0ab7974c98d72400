use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::Sending;

/// Some bytes of the body of a response. Over HTTP/2, it says how far they have come.
#[derive(Debug)]
pub struct Portion {
    bytes: Bytes,
    sending: Option<Arc<Sending>>,
}

impl Portion {
    /// These bytes, of which `sending` is told if there is one.
    pub fn new(bytes: Bytes, sending: Option<&Arc<Sending>>) -> Self {
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
        let before = self.bytes.len();
        self.bytes.advance(count);
        let Some(sending) = &self.sending else { return };
        sending.advance(count);
        // The rest may wait for as long as its connection, and would keep the memory of all.
        if !Sending::is_little(before) && Sending::is_little(self.bytes.len()) {
            self.bytes = Bytes::copy_from_slice(&self.bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_little_that_waits_keeps_no_more_memory_than_it_has() {
        let sending = Arc::new(Sending::default());
        let memory = Arc::new(vec![b'x'; 100_000]);
        let body = Bytes::from_owner(Owner(memory.clone()));
        let mut portion = Portion::new(body, Some(&sending));
        portion.advance(90_000);
        assert_eq!(Arc::strong_count(&memory), 2);
        portion.advance(9_999);
        assert_eq!(Arc::strong_count(&memory), 1);
        assert!(sending.is_almost_sent());
        assert_eq!(portion.chunk(), b"x");
    }

    struct Owner(Arc<Vec<u8>>);

    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
}
