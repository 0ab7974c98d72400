//! Frames of HTTP/2 (RFC 9113) by hand, for clients that no library would be.

use std::net::SocketAddr;
use std::panic::Location;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, split};

use super::connection::Connection;
use crate::limit::within_at;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of a client.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The header block of a request: `:scheme: http`, the method, and the path, without Huffman's code.
pub fn head(method: &str, path: &str) -> Vec<u8> {
    let field = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    [vec![0x86], field(2, method), field(4, path), field(1, "tidings.test")].concat()
}

/// A request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path))
}

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
pub fn window_of_streams(bytes: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 4], &bytes.to_be_bytes()[..]].concat())
}

/// Opens the window of a stream, or of the connection (0), by so much.
pub fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

/// A frame of a server.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Removes the first frame, if it is whole.
    fn take(raw: &mut BytesMut) -> Option<Self> {
        let (head, rest) = raw.split_first_chunk::<9>()?;
        let [high, middle, low, kind, _, stream @ ..] = *head;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        if rest.len() < length {
            return None;
        }
        raw.advance(9);
        let payload = raw.split_to(length).to_vec();
        Some(Self { kind, stream: u32::from_be_bytes(stream), payload })
    }
}

/// The data in frames of all streams.
pub fn text(frames: &[Frame]) -> String {
    let data = frames.iter().filter(|frame| frame.kind == DATA);
    let data: Vec<_> = data.map(|frame| &*frame.payload).collect();
    String::from_utf8_lossy(&data.concat()).into_owned()
}

/// A connection of HTTP/2 whose frames a test makes.
#[derive(Debug)]
pub struct RawHttp2 {
    connection: Connection,
    /// What was read.
    pub frames: Vec<Frame>,
}

impl RawHttp2 {
    /// Connects, and sends the preface, and settings that set nothing.
    pub async fn open(server: SocketAddr) -> Self {
        let mut connection = Connection::open(server).await;
        connection.write(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        Self { connection, frames: Vec::new() }
    }

    /// Sends frames, or any bytes.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) -> impl Future<Output = ()> {
        self.connection.write(bytes)
    }

    /// Reads until something is true of the frames so far.
    ///
    /// # Panics
    ///
    /// When the connection ends before.
    #[track_caller]
    pub fn read_until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&[Frame]) -> bool,
    ) -> impl Future<Output = ()> {
        within_at(Location::caller(), what, async move {
            while !is_so(&self.frames) {
                let Connection { socket, raw } = &mut self.connection;
                let length = socket.read_buf(raw).await.expect("more frames");
                assert_ne!(length, 0, "the connection ends after {:?}", self.frames);
                self.frames.extend(std::iter::from_fn(|| Frame::take(raw)));
            }
        })
    }

    /// Reads until these streams were reset for their stall.
    ///
    /// # Panics
    ///
    /// When a stream is reset for another reason, or the connection ends before.
    #[track_caller]
    pub fn read_until_reset(&mut self, expected: &[u32]) -> impl Future<Output = ()> {
        self.read_until("the reset of the stalled streams", move |frames| {
            let resets = frames.iter().filter(|frame| frame.kind == RST_STREAM);
            // `CANCEL`.
            assert!(resets.clone().all(|frame| frame.payload == [0, 0, 0, 8]), "{frames:?}");
            let mut streams: Vec<_> = resets.map(|frame| frame.stream).collect();
            streams.sort_unstable();
            streams == expected
        })
    }

    /// Sends frames, and reads until the server ends the connection. Returns what it has sent.
    #[track_caller]
    pub fn until_cut_off(
        self,
        frames: impl IntoIterator<Item = Vec<u8>>,
    ) -> impl Future<Output = Vec<Frame>> {
        let all = frames.into_iter().collect::<Vec<_>>().concat();
        let Self { connection: Connection { socket, mut raw }, mut frames } = self;
        within_at(Location::caller(), "the end of the connection", async move {
            let (mut reads, mut writes) = split(socket);
            // Either fails when the server ends the connection while it is still sent something.
            let writing = async {
                let _ = writes.write_all(&all).await;
            };
            let reading =
                async { while reads.read_buf(&mut raw).await.is_ok_and(|length| length > 0) {} };
            tokio::join!(writing, reading);
            frames.extend(std::iter::from_fn(|| Frame::take(&mut raw)));
            frames
        })
    }
}
