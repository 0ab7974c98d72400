//! The times that events carry, from which a client knows how long they took.

use std::time::Instant;

use crate::reader::{MARK, STAMP_DIGITS};

/// Gives every time the same number of digits.
const OFFSET: u64 = 10_u64.pow(STAMP_DIGITS as u32 - 1);

/// A clock that counts microseconds from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

/// A time of a [`Clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Stamp {
        Stamp(OFFSET + u64::try_from(self.0.elapsed().as_micros()).unwrap_or(0))
    }

    /// The time of an instant.
    pub(crate) fn at(self, instant: Instant) -> Stamp {
        let since = instant.saturating_duration_since(self.0);
        Stamp(OFFSET + u64::try_from(since.as_micros()).unwrap_or(0))
    }
}

impl Stamp {
    /// Microseconds since the time that an event carries.
    pub(crate) fn since(self, stamp: u64) -> u32 {
        u32::try_from(self.0.saturating_sub(stamp)).unwrap_or(u32::MAX)
    }

    /// Data of an event: JSON of exactly this many bytes, or of the minimum, 20.
    pub(crate) fn data(self, bytes: usize) -> String {
        const TEXT: &str = ",\"text\":\"";
        let mut data = format!("{MARK}{}", self.0);
        if let Some(text) = bytes.checked_sub(data.len() + TEXT.len() + 2) {
            data += TEXT;
            data.extend(('a'..='z').cycle().take(text));
            data.push('"');
        }
        data.push('}');
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_json_of_the_requested_size() {
        for bytes in [20, 200, 4096] {
            let data = Clock::new().now().data(bytes);
            assert_eq!(data.len(), bytes);
            assert!(serde_json::from_str::<serde_json::Value>(&data).is_ok(), "{data}");
        }
    }
}
