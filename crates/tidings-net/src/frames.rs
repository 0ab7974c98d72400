use std::io;
use tokio::time::Instant;

use crate::reception::HTTP2_PREFACE;

/// How many seconds' worth of control frames a client may save up.
const SAVED: u32 = 10;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// How many bytes a frame's head has, and the reason of a reset after it.
const HEAD: usize = 9;
const REASON: usize = 4;

/// Why a stream is reset that the client should not have sent something on, or should not have opened.
const STREAM_CLOSED: u32 = 5;
const REFUSED_STREAM: u32 = 7;

/// The frames of HTTP/2 of a connection: RFC 9113, section 4.1.
///
/// It looks at little more than their heads: to count those for which a client does not pay with data or a request, and to see
/// whether the head of a request is whole.
#[derive(Debug)]
pub(crate) struct Frames {
    received: Heads,
    sent: Heads,
    each_second: Option<u32>,
    credit: u32,
    refilled: Instant,
    has_settings: bool,
    /// The newest stream that the client has opened.
    newest: u32,
    /// How many of its requests may still have trailers.
    bodies: usize,
    /// How many windows it may open, for its streams and for what it was sent.
    windows: usize,
    /// The frame that comes is of the head of a request, or of its trailers.
    is_of_head: bool,
    /// That head goes on in the next frame.
    goes_on: bool,
    /// Since when a head is not whole.
    head_since: Option<Instant>,
}

impl Frames {
    /// Of a connection whose client begins, with its preface, and sends this many control frames each second.
    pub(crate) fn new(each_second: Option<u32>) -> Self {
        Self {
            received: Heads { preface: HTTP2_PREFACE.len(), ..Heads::default() },
            sent: Heads::default(),
            each_second,
            credit: each_second.unwrap_or(0).saturating_mul(SAVED),
            refilled: Instant::now(),
            has_settings: false,
            newest: 0,
            bodies: 0,
            windows: 0,
            is_of_head: false,
            goes_on: false,
            head_since: None,
        }
    }

    /// Whether the client has sent its settings, with which it must begin.
    pub(crate) fn has_settings(&self) -> bool {
        self.has_settings
    }

    /// Since when a head has begun and is not whole.
    pub(crate) fn head_since(&self) -> Option<Instant> {
        self.head_since
    }

    /// These bytes have come next.
    ///
    /// # Errors
    ///
    /// If the client sends too many control frames.
    pub(crate) fn read(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> io::Result<()> {
        while let Some(frame) = self.received.next(&mut bytes) {
            self.is_of_head = matches!(frame.kind, HEADERS | CONTINUATION);
            if self.is_of_head {
                self.goes_on = frame.flags & END_HEADERS == 0;
            }
            if frame.kind == HEADERS {
                self.head_since = None;
            }
            self.has_settings |= frame.kind == SETTINGS;
            if !self.is_paid_for(frame) {
                self.pay(&now)?;
            }
        }
        let is_open = self.goes_on || (self.is_of_head && self.received.payload > 0);
        self.head_since = is_open.then(|| self.head_since.unwrap_or_else(&now));
        Ok(())
    }

    /// The server has sent these bytes next.
    ///
    /// # Errors
    ///
    /// If it has to reset too many streams that the client should not have opened, or should have left alone.
    pub(crate) fn wrote(&mut self, mut bytes: &[u8], now: impl Fn() -> Instant) -> io::Result<()> {
        while let Some(frame) = self.sent.next(&mut bytes) {
            match frame.kind {
                // Clients open the windows of the stream and of the connection: some for each frame, some for each few bytes
                // that they read.
                DATA => self.windows += 2 * (1 + frame.length / 1024),
                RST_STREAM if [STREAM_CLOSED, REFUSED_STREAM].contains(&frame.reason) => {
                    self.pay(&now)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a client's frame has data or a request, or is due to one.
    fn is_paid_for(&mut self, frame: Frame) -> bool {
        let ends = frame.flags & END_STREAM > 0;
        match frame.kind {
            DATA => {
                // The length of the padding is a byte, and as much as it says has no data.
                let is_padded = frame.flags & PADDED > 0;
                let padding = if is_padded { 1 + usize::from(u8::MAX) } else { 0 };
                // A body has one end, if no trailers are it.
                let is_end = ends && take_one(&mut self.bodies);
                frame.length > padding || is_end
            }
            // Requests are for the application to limit.
            HEADERS if frame.stream > self.newest => {
                self.newest = frame.stream;
                self.bodies += usize::from(!ends);
                // Some clients widen the window of each stream.
                self.windows += 1;
                true
            }
            HEADERS => take_one(&mut self.bodies),
            WINDOW_UPDATE => take_one(&mut self.windows),
            _ => false,
        }
    }

    /// A control frame, or what has to be answered like one.
    fn pay(&mut self, now: &impl Fn() -> Instant) -> io::Result<()> {
        let Some(each_second) = self.each_second else {
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

/// Takes one of these, if there is one.
fn take_one(left: &mut usize) -> bool {
    let has_one = *left > 0;
    *left -= usize::from(has_one);
    has_one
}

/// Finds the heads of frames in the bytes of one direction.
#[derive(Debug, Default)]
struct Heads {
    /// How many bytes of the preface are still to come.
    preface: usize,
    /// With the reason, if the frame has one.
    head: [u8; HEAD + REASON],
    /// How many bytes of the head are there.
    length: usize,
    /// How many bytes of the frame are still to come, after its head.
    payload: usize,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    /// Of what comes after the head.
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
    /// Of RST_STREAM.
    reason: u32,
}

impl Heads {
    /// Goes on to the next head, if these bytes have its end.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        for left in [&mut self.preface, &mut self.payload] {
            let skipped = (*left).min(bytes.len());
            *left -= skipped;
            *bytes = &bytes[skipped..];
        }
        while self.length < self.whole() {
            if bytes.is_empty() {
                return None;
            }
            let more = (self.whole() - self.length).min(bytes.len());
            self.head[self.length..][..more].copy_from_slice(&bytes[..more]);
            self.length += more;
            *bytes = &bytes[more..];
        }
        let head = &self.head;
        let frame = Frame {
            length: number(&head[..3]) as usize,
            kind: head[3],
            flags: head[4],
            // One bit is reserved.
            stream: number(&head[5..HEAD]) & (u32::MAX >> 1),
            reason: number(&head[HEAD..]),
        };
        self.payload = frame.length.saturating_sub(self.length - HEAD);
        self.length = 0;
        Some(frame)
    }

    /// How many bytes of the frame are looked at, as far as that is known.
    fn whole(&self) -> usize {
        if self.length < HEAD || self.head[3] != RST_STREAM {
            return HEAD;
        }
        HEAD + REASON.min(number(&self.head[..3]) as usize)
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn after_preface(each_second: u32) -> Frames {
        Frames { received: Heads::default(), ..Frames::new(Some(each_second)) }
    }

    fn frame_of(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, high, middle, low] = (payload.len() as u32).to_be_bytes();
        [&[high, middle, low, kind, flags], &stream.to_be_bytes()[..], payload].concat()
    }

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        frame_of(1, kind, flags, &vec![7; payload])
    }

    /// How many of these a client may send that has no credit.
    fn free(frames: &mut Frames, kind: u8, flags: u8) -> usize {
        let now = Instant::now();
        let frame = frame(kind, flags, 4);
        (0..1_000).take_while(|_| frames.read(&frame, || now).is_ok()).count()
    }

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let now = Instant::now();
        let all = [
            HTTP2_PREFACE.to_vec(),
            frame(SETTINGS, 0, 18),
            frame(HEADERS, END_HEADERS, 300),
            frame(DATA, 0, 9),
            frame(RST_STREAM, 0, 4),
            frame(6, 0, 8),
        ]
        .concat();
        for step in 1..all.len() {
            let mut frames = Frames::new(Some(1));
            for bytes in all.chunks(step) {
                frames.read(bytes, || now).unwrap();
            }
            assert!(frames.has_settings());
            assert_eq!(frames.credit, SAVED - 3, "settings, reset and ping, in steps of {step}");
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
        for free in [frame(0, 0, 1), frame(1, 4, 1), frame(0, 1, 0)] {
            frames.read(&free, || now).unwrap();
        }
        for kind in [0, 2, 3, 4, 6, 8, 9, 77] {
            let mut frames = after_preface(0);
            assert!(frames.read(&frame(kind, 0, 0), || now).is_err(), "{kind}");
        }
    }

    #[test]
    fn padding_is_no_data() {
        let now = Instant::now();
        let mut frames = after_preface(0);
        for free in [frame(0, 8, 257), frame(0, 8, 1000), frame(1, 4, 1), frame(0, 9, 1)] {
            frames.read(&free, || now).unwrap();
        }
        for padded in [1, 256] {
            let mut frames = after_preface(0);
            assert!(frames.read(&frame(0, 8, padded), || now).is_err(), "{padded} bytes");
        }
    }

    #[test]
    fn a_client_opens_windows_for_its_streams_and_for_what_it_was_sent() {
        let now = Instant::now();
        for (length, expected) in [(0, 2), (1_023, 2), (1_024, 4), (16_384, 2 * 17)] {
            let mut frames = after_preface(0);
            frames.wrote(&frame(DATA, 0, length), || now).unwrap();
            assert_eq!(free(&mut frames, WINDOW_UPDATE, 0), expected, "{length} bytes");
        }
        let mut frames = after_preface(0);
        frames.read(&frame(HEADERS, END_HEADERS, 1), || now).unwrap();
        assert_eq!(free(&mut frames, WINDOW_UPDATE, 0), 1);
    }

    #[test]
    fn a_body_has_one_end() {
        let now = Instant::now();
        for last in [frame(DATA, END_STREAM, 0), frame(DATA, END_STREAM, 1)] {
            let mut frames = after_preface(0);
            frames.read(&[frame(HEADERS, END_HEADERS, 1), last].concat(), || now).unwrap();
            assert!(frames.read(&frame(DATA, END_STREAM, 0), || now).is_err());
        }
    }

    #[test]
    fn a_request_with_a_body_has_trailers_once() {
        let now = Instant::now();
        for (flags, expected) in [(END_HEADERS, 1), (END_HEADERS | END_STREAM, 0)] {
            let mut frames = after_preface(0);
            frames.read(&frame(HEADERS, flags, 1), || now).unwrap();
            assert_eq!(free(&mut frames, HEADERS, END_HEADERS | END_STREAM), expected);
        }
    }

    #[test]
    fn requests_that_are_refused_are_not_free() {
        let now = Instant::now();
        let reset = |reason: u32| frame_of(1, RST_STREAM, 0, &reason.to_be_bytes());
        for reason in [STREAM_CLOSED, REFUSED_STREAM] {
            assert!(after_preface(0).wrote(&reset(reason), || now).is_err(), "{reason}");
        }
        // An answer before the end of the request's body, and a stream that the server ends.
        for reason in [0, 2, 8] {
            after_preface(0).wrote(&reset(reason), || now).unwrap();
        }
    }

    #[test]
    fn a_head_is_not_whole_before_its_last_byte() {
        let began = Instant::now();
        let later = began + Duration::from_secs(1);
        let all = [
            frame(HEADERS, END_STREAM, 20),
            frame(CONTINUATION, 0, 0),
            frame(CONTINUATION, END_HEADERS, 5),
        ]
        .concat();
        let mut frames = after_preface(1);
        assert_eq!(frames.head_since(), None);
        frames.read(&all[..9], || began).unwrap();
        for byte in &all[9..all.len() - 1] {
            assert_eq!(frames.head_since(), Some(began));
            frames.read(&[*byte], || later).unwrap();
        }
        assert_eq!(frames.head_since(), Some(began));
        // Its last byte, and the beginning of another.
        frames.read(&[&all[all.len() - 1..], &all[..9]].concat(), || later).unwrap();
        assert_eq!(frames.head_since(), Some(later));
        frames.read(&all[9..], || later).unwrap();
        assert_eq!(frames.head_since(), None);
        frames.read(&frame(DATA, 0, 9)[..12], || later).unwrap();
        assert_eq!(frames.head_since(), None, "a body has a limit of its own");
    }
}
