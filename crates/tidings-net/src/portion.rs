use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::Sending;

/// Some bytes of the body of a response. Over HTTP/2, it says how far they have come.
#[derive(Debug)]
pub struct Portion {
    bytes: Bytes,
    sending: Option<Arc<Sending>>,
    /// Its memory is no more than the rest may be that waits for as long as its connection.
    is_little: bool,
}

impl Portion {
    /// These bytes, of which `sending` is told if there is one.
    pub fn new(bytes: Bytes, sending: Option<&Arc<Sending>>) -> Self {
        if let Some(sending) = sending {
            sending.begin(bytes.len());
        }
        let is_little = sending.is_none() || Sending::is_little(bytes.len());
        Self { bytes, sending: sending.cloned(), is_little }
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
        if !self.is_little && Sending::is_little(self.bytes.len()) {
            // Or the rest would keep the memory of all.
            self.bytes = Bytes::copy_from_slice(&self.bytes);
            self.is_little = true;
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
