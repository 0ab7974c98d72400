//! What clients send on an open stream.

use super::*;

/// Sends to a stream in pieces, and has the writer read them.
fn send_ahead(desk: &mut Desk, client: &mut StdStream, bytes: &[u8]) {
    for piece in bytes.chunks(3_000) {
        // It may be gone.
        let _ = client.write_all(piece);
        desk.round_of_sockets();
        desk.catch_up();
    }
}

#[test]
fn what_a_client_sends_ahead_is_kept_or_discarded_or_ends_the_stream() {
    let hub = Hub::new();
    for before in [0, 1_000, 20_000] {
        for (length, is_kept, goes_on) in [
            (0, true, true),
            (8_192, true, true),
            (8_193, false, true),
            (16_384, false, true),
            (16_385, false, false),
        ] {
            let mut desk = Desk::new(None);
            let (mut client, socket) = desk.connect();
            // Some of it comes with the request.
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let before = before.min(length);
            let mut stream = desk.stream(socket, hub.subscribe(["news"]));
            stream.pipelined = bytes[..before].to_vec().into();
            desk.writer.accept(stream, &mut Turn::new(Turn::WRITES, stopped_clock));
            send_ahead(&mut desk, &mut client, &bytes[before..]);
            assert_eq!(hub.clients().count(), usize::from(goes_on), "after {length}");
            if goes_on {
                hub.clients().close(hub.clients().list()[0].id);
                desk.catch_up();
            }
            let returned = desk.returned.try_recv().ok().map(|returned| returned.pipelined);
            assert_eq!(returned, is_kept.then_some(bytes.into()), "after {length}");
        }
    }
}

#[test]
fn bytes_that_were_read_before_the_stream_are_copied() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let (_client, socket) = desk.connect();
    let mut stream = desk.stream(socket, hub.subscribe(["news"]));
    let buffer = Bytes::from(vec![b'x'; 400_000]);
    stream.pipelined = buffer.slice(..1);
    desk.writer.accept(stream, &mut Turn::new(Turn::WRITES, stopped_clock));
    assert!(buffer.is_unique(), "the stream keeps one byte, not the buffer");
}

#[test]
fn a_client_that_closes_after_it_has_sent_ahead_is_gone_at_once() {
    let hub = Hub::new();
    let mut desk = Desk::new(None);
    let mut client = desk.serve(hub.subscribe(["news"]));
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(client);
    desk.round_of_sockets();
    desk.catch_up();
    assert_eq!(hub.clients().count(), 0);
}
