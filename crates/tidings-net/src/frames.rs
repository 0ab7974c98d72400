use std::io;
use tokio::time::Instant;

use crate::reception::HTTP2_PREFACE;

/// How many seconds' worth of control frames a client may save up.
const SAVED: u32 = 10;

/// The frames of HTTP/2 in one direction: RFC 9113, section 4.1.
///
/// It looks at their heads only: to count those for which a client does not pay with data, and to see whether the server
/// sends data.
#[derive(Debug)]
pub(crate) struct Frames {
    /// How many bytes of the preface are still to come.
    preface: usize,
    head: [u8; 9],
    /// How many bytes of the head are there.
    length: usize,
    /// How many bytes of the frame are still to come, after its head.
    payload: usize,
    each_second: Option<u32>,
    credit: u32,
    refilled: Instant,
    has_settings: bool,
    data: usize,
}

impl Frames {
    /// Those that a server sends.
    pub(crate) fn sent() -> Self {
        Self { preface: 0, ..Self::received(None) }
    }

    /// Those that a client sends, before its preface, with this many control frames each second.
    pub(crate) fn received(each_second: Option<u32>) -> Self {
        let credit = each_second.unwrap_or(0).saturating_mul(SAVED);
        Self {
            preface: HTTP2_PREFACE.len(),
            head: [0; 9],
            length: 0,
            payload: 0,
            each_second,
            credit,
            refilled: Instant::now(),
            has_settings: false,
            data: 0,
        }
    }

    /// Whether the client has sent its settings, with which it must begin.
    pub(crate) fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// How many frames had data.
    pub(crate) fn data(&self) -> usize {
        self.data
    }

    /// These bytes have come next.
    ///
    /// # Errors
    ///
    /// If it sends too many control frames.
    pub(crate) fn read(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> io::Result<()> {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        bytes = &bytes[preface..];
        loop {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            let more = (self.head.len() - self.length).min(bytes.len());
            self.head[self.length..][..more].copy_from_slice(&bytes[..more]);
            self.length += more;
            bytes = &bytes[more..];
            if self.length == self.head.len() {
                self.length = 0;
                self.frame(&now)?;
            }
        }
    }

    fn frame(&mut self, now: &impl Fn() -> Instant) -> io::Result<()> {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const SETTINGS: u8 = 4;
        const WINDOW_UPDATE: u8 = 8;
        const END_STREAM: u8 = 1;
        const PADDED: u8 = 8;

        let [high, middle, low, kind, flags, ..] = self.head;
        self.payload = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.has_settings |= kind == SETTINGS;
        if kind == DATA && self.payload > 0 {
            self.data = self.data.wrapping_add(1);
        }
        // The length of the padding is a byte, and as much as it says has no data.
        let padding = if flags & PADDED > 0 { 1 + usize::from(u8::MAX) } else { 0 };
        let pays = match kind {
            DATA => self.payload > padding || flags & END_STREAM > 0,
            // Requests are for the application to limit. Window updates follow the data that the server sends.
            HEADERS | WINDOW_UPDATE => true,
            _ => false,
        };
        let Some(each_second) = self.each_second.filter(|_| !pays) else {
            return Ok(());
        };
        if self.credit == 0 {
            let now = now();
            let passed = now - self.refilled;
            self.refilled = now;
            let most = f64::from(each_second.saturating_mul(SAVED));
            self.credit = (passed.as_secs_f64() * f64::from(each_second)).min(most) as u32;
        }
        match self.credit.checked_sub(1) {
            Some(credit) => self.credit = credit,
            None => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "client sends too many control frames",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn after_preface(each_second: u32) -> Frames {
        Frames { preface: 0, ..Frames::received(Some(each_second)) }
    }

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [_, high, middle, low] = (payload as u32).to_be_bytes();
        let mut frame = vec![high, middle, low, kind, flags, 0, 0, 0, 1];
        frame.resize(9 + payload, 7);
        frame
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let now = Instant::now();
        let all = [
            HTTP2_PREFACE.to_vec(),
            frame(4, 0, 18),
            frame(1, 5, 300),
            frame(0, 0, 9),
            frame(6, 0, 8),
        ]
        .concat();
        for step in 1..all.len() {
            let mut frames = Frames::received(Some(1));
            for bytes in all.chunks(step) {
                frames.read(bytes, || now).unwrap();
            }
            assert!(frames.has_settings());
            assert_eq!(frames.data(), 1);
            assert_eq!(frames.credit, SAVED - 2, "settings and a ping, in steps of {step}");
        }
    }

    #[test]
    fn credit_comes_back_with_time() {
        let mut frames = after_preface(2);
        let began = frames.refilled;
        let ping = frame(6, 0, 8);
        for _ in 0..20 {
            frames.read(&ping, || began).unwrap();
        }
        let later = began + Duration::from_secs(2);
        for _ in 0..4 {
            frames.read(&ping, || later).unwrap();
        }
        let error = frames.read(&ping, || later).unwrap_err();
        assert_eq!(error.to_string(), "client sends too many control frames");
    }

    #[test]
    fn frames_with_data_and_requests_are_free_and_empty_ones_are_not() {
        let now = Instant::now();
        let mut frames = after_preface(0);
        for free in [frame(0, 0, 1), frame(0, 1, 0), frame(1, 4, 1), frame(8, 0, 4)] {
            frames.read(&free, || now).unwrap();
        }
        for kind in [0, 2, 3, 4, 6, 9, 77] {
            let mut frames = after_preface(0);
            assert!(frames.read(&frame(kind, 0, 0), || now).is_err(), "{kind}");
        }
    }

    #[test]
    fn padding_is_no_data() {
        let now = Instant::now();
        let mut frames = after_preface(0);
        for free in [frame(0, 8, 257), frame(0, 8, 1000), frame(0, 9, 1)] {
            frames.read(&free, || now).unwrap();
        }
        for padded in [1, 256] {
            let mut frames = after_preface(0);
            assert!(frames.read(&frame(0, 8, padded), || now).is_err(), "{padded} bytes");
        }
    }
}
