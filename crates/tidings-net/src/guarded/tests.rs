use super::*;
use crate::reception::HTTP2_PREFACE;
use crate::{Limits, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// A connection that takes 10 bytes, which is being answered. Its system does not tell its progress.
fn answered() -> (Guarded<DuplexStream>, DuplexStream, crate::Answering) {
    answered_within(Limits::default())
}

fn answered_within(limits: Limits) -> (Guarded<DuplexStream>, DuplexStream, crate::Answering) {
    let connections = Connections::new(&Options { limits, ..Options::default() });
    let (io, client) = duplex(10);
    let http1 = Protocol::Http1;
    let guarded = Guarded::new(io, Vec::new(), http1, connections, Permit::default());
    let answering = guarded.activity().answer();
    (guarded, client, answering)
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_stalled_for_the_limit_fails() {
    let (mut guarded, _client, _answering) = answered();
    guarded.write_all(&[0; 10]).await.unwrap();
    let began = Instant::now();
    let error = guarded.write_all(&[0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn progress_restarts_the_limit() {
    let (mut guarded, mut client, _answering) = answered();
    let writing = tokio::spawn(async move { guarded.write_all(&[0; 50]).await });
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(29)).await;
        let mut buf = [0; 10];
        client.read_exact(&mut buf).await.unwrap();
    }
    writing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_idle_has_no_timer_and_no_limit() {
    let (mut guarded, mut client, _answering) = answered();
    guarded.write_all(b"first").await.unwrap();
    guarded.flush().await.unwrap();
    assert!(guarded.timer.is_none(), "nothing is outstanding");
    tokio::time::advance(Duration::from_secs(3600)).await;
    guarded.write_all(b"still").await.unwrap();
    guarded.flush().await.unwrap();
    assert!(guarded.timer.is_some(), "that may not have arrived");
    tokio::time::advance(Duration::from_secs(16)).await;
    guarded.flush().await.unwrap();
    assert!(guarded.timer.is_none(), "it has");
    let mut buf = [0; 10];
    client.read_exact(&mut buf).await.unwrap();
    assert_eq!(&buf, b"firststill");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_at_its_end_after_its_limit() {
    let (mut guarded, _client, answering) = answered();
    drop(answering);
    let began = Instant::now();
    assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 75);
}

#[tokio::test(start_paused = true)]
async fn a_head_is_answered_when_its_time_is_up() {
    let (mut guarded, mut client, answering) = answered();
    drop(answering);
    client.write_all(b"G").await.unwrap();
    assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), 1);
    let began = Instant::now();
    let error = guarded.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.to_string(), "request's head takes too long");
    // Its client had a second to read the answer.
    assert_eq!(began.elapsed().as_secs(), 30 + 1);
    let mut answer = [0; 10];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, TIMEOUT[..10]);
}

#[tokio::test(start_paused = true)]
async fn a_head_with_too_many_bytes_is_answered() {
    let (mut guarded, mut client, answering) = answered();
    drop(answering);
    let sending = tokio::spawn(async move {
        client.write_all(&[b'x'; 64 * 1024]).await.unwrap();
        let mut answer = [0; 10];
        client.read_exact(&mut answer).await.unwrap();
        // It still sends.
        client.write_all(&[b'x'; 64 * 1024]).await.unwrap();
        answer
    });
    let mut read = 0;
    let error = loop {
        match guarded.read(&mut [0; 10]).await {
            Ok(0) => panic!("it must not end so"),
            Ok(length) => read += length,
            Err(error) => break error,
        }
    };
    assert_eq!(read, 64 * 1024);
    assert_eq!(error.to_string(), "request's head has too many bytes");
    let sent = tokio::time::timeout(Duration::from_secs(1000), sending).await;
    assert_eq!(sent.expect("all is taken").unwrap(), TOO_LARGE[..10]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_from_the_last_byte_of_an_answer_on() {
    let (mut guarded, mut client, answering) = answered();
    guarded.write_all(&[0; 10]).await.unwrap();
    // The server has the whole body, and lets go of it.
    drop(answering);
    let began = Instant::now();
    let (mut reading, mut writing) = tokio::io::split(guarded);
    let sending = tokio::spawn(async move {
        let send = async {
            writing.write_all(&[0; 100]).await.unwrap();
            writing.flush().await.unwrap();
        };
        let mut some = [0; 10];
        tokio::select! {
            biased;
            end = reading.read(&mut some) => panic!("it ends while it is sent: {end:?}"),
            () = send => {}
        }
        let sent = began.elapsed().as_secs();
        // What the server does when it is woken.
        while tokio::time::timeout(Duration::from_secs(1), reading.read(&mut [0; 10]))
            .await
            .is_err()
        {
            writing.flush().await.unwrap();
        }
        (sent, began.elapsed().as_secs())
    });
    for _ in 0..11 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        client.read_exact(&mut [0; 10]).await.unwrap();
    }
    let (sent, ended) = sending.await.unwrap();
    assert!(sent >= 200 && (sent + 75..=sent + 76).contains(&ended), "{sent} s, {ended} s");
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_its_time_though_the_server_does_not_read_meanwhile() {
    let (mut guarded, mut client, answering) = answered();
    drop(answering);
    client.write_all(b"GET").await.unwrap();
    assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), 3);
    drop(guarded.activity().answer());
    let sending = tokio::spawn(async move { guarded.write_all(&[0; 100]).await });
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        client.read_exact(&mut [0; 10]).await.unwrap();
    }
    sending.await.unwrap().unwrap();
}

/// A connection on which a client has sent one byte, that takes nothing, as one of TLS whose socket is full.
struct Full(bool);

impl Io for Full {}

impl AsyncRead for Full {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Pending;
        }
        buf.put_slice(b"G");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Full {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_writes_learns_that_a_head_was_refused() {
    for is_refused_first in [false, true] {
        let limits = Limits::default().write_timeout(None);
        let connections = Connections::new(&Options { limits, ..Options::default() });
        let http1 = Protocol::Http1;
        let mut guarded =
            Guarded::new(Full(false), Vec::new(), http1, connections, Permit::default());
        assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), 1);
        let began = Instant::now();
        if is_refused_first {
            let limit = Duration::from_millis(30_500);
            assert!(tokio::time::timeout(limit, guarded.read(&mut [0; 10])).await.is_err());
        }
        let writing = tokio::time::timeout(Duration::from_secs(1_000), guarded.write_all(b"x"));
        let error = writing.await.expect("it has an end").unwrap_err();
        assert_eq!(error.to_string(), "request's head takes too long");
        assert_eq!(began.elapsed().as_secs(), 30 + u64::from(is_refused_first));
    }
}

/// A connection whose last request was answered, and had a body that was not read to its end.
fn with_unread_body() -> (Guarded<DuplexStream>, DuplexStream) {
    with_unread_body_within(Limits::default())
}

fn with_unread_body_within(limits: Limits) -> (Guarded<DuplexStream>, DuplexStream) {
    let (guarded, client, answering) = answered_within(limits);
    drop(guarded.activity().read_body());
    drop(answering);
    (guarded, client)
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_body_is_no_head_for_as_long_as_a_write_may_take() {
    let (mut guarded, mut client) = with_unread_body();
    let sending = tokio::spawn(async move {
        client.write_all(&[b'x'; 200 * 1024]).await.unwrap();
        client
    });
    let mut read = 0;
    while read < 200 * 1024 {
        let length = guarded.read(&mut [0; 10]).await.unwrap();
        assert!(length > 0, "the end after {read} bytes");
        read += length;
    }
    let mut client = sending.await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    // It may be either. Nothing is said after the answer.
    client.write_all(b"x").await.unwrap();
    assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), 1);
    let began = Instant::now();
    assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(began.elapsed().as_secs(), 30);
    drop(guarded);
    let mut told = Vec::new();
    client.read_to_end(&mut told).await.unwrap();
    assert!(told.is_empty(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rest_of_a_body_that_does_not_end_is_the_end_of_its_connection() {
    let (mut guarded, mut client) = with_unread_body();
    let mut buf = [0; 10];
    // Its time begins.
    let is_waiting = std::future::poll_fn(|cx| {
        let read = Pin::new(&mut guarded).poll_read(cx, &mut ReadBuf::new(&mut buf));
        Poll::Ready(read.is_pending())
    });
    assert!(is_waiting.await);
    tokio::time::advance(Duration::from_secs(30)).await;
    let sending = tokio::spawn(async move {
        let _ = client.write_all(&[b'x'; 70 * 1024]).await;
        let mut told = Vec::new();
        client.read_to_end(&mut told).await.unwrap();
        told
    });
    let mut read = 0;
    while let Ok(length @ 1..) = guarded.read(&mut [0; 10]).await {
        read += length;
    }
    assert_eq!(read / 1024, 64, "{read} bytes");
    drop(guarded);
    assert!(sending.await.unwrap().is_empty(), "nothing is said after the answer");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_a_head_or_the_rest_of_a_body_has_a_time_limit() {
    // The time for a rest and that for a head; or less if nothing more comes for the time of an idle connection.
    for (idle, expected) in [(None, 30 + 30), (Some(Duration::from_secs(5)), 20 + 5)] {
        let (mut guarded, mut client) =
            with_unread_body_within(Limits::default().idle_timeout(idle));
        let began = Instant::now();
        let sending = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(2)).await;
                client.write_all(b"G").await.unwrap();
            }
            client
        });
        let reading = async {
            let mut read = 0;
            loop {
                match guarded.read(&mut [0; 10]).await.unwrap() {
                    0 => break read,
                    length => read += length,
                }
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(1000), reading).await;
        assert_eq!(read.expect("it ends"), 10);
        assert_eq!(began.elapsed().as_secs(), expected);
        drop(guarded);
        let mut told = Vec::new();
        sending.await.unwrap().read_to_end(&mut told).await.unwrap();
        assert!(told.is_empty(), "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_idle_for_too_long_does_not_linger() {
    let (mut guarded, _client) = with_unread_body();
    assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), 0);
    let began = Instant::now();
    guarded.shutdown().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_must_end_is_at_its_end_when_it_was_answered() {
    let (mut guarded, _client, answering) = answered();
    guarded.activity().set_must_end();
    let read = tokio::time::timeout(Duration::from_secs(10), guarded.read(&mut [0; 10])).await;
    assert!(read.is_err(), "it is being answered");
    drop(answering);
    let read = tokio::time::timeout(Duration::from_secs(10), guarded.read(&mut [0; 10])).await;
    assert_eq!(read.expect("its end").unwrap(), 0);
}

/// How long a connection takes to shut down whose client sends so many bytes of a body that was not read, and then closes or
/// stays.
async fn lingers(bytes: usize, closes: bool) -> Duration {
    let (mut guarded, mut client) = with_unread_body();
    let began = Instant::now();
    let closing = tokio::spawn(async move {
        guarded.shutdown().await.unwrap();
        began.elapsed()
    });
    assert_eq!(client.read(&mut [0; 10]).await.unwrap(), 0, "the end of the answer");
    for _ in 0..bytes / 10 {
        // It fails when the connection has ended.
        let _ = client.write_all(&[b'x'; 10]).await;
    }
    let _client = Some(client).filter(|_| !closes);
    closing.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_may_still_send_for_a_second_what_nobody_reads() {
    assert_eq!(lingers(200 * 1024, false).await.as_secs(), 1);
    assert_eq!(lingers(200 * 1024, true).await.as_secs(), 0);
    assert_eq!(lingers(300 * 1024, false).await.as_secs(), 0);
    // All of this was wanted; then there is a head that the server may have refused.
    for (next, expected) in [("", 0), ("GET", 1)] {
        let (mut guarded, mut client, answering) = answered();
        guarded.activity().read_body().finish();
        drop(answering);
        client.write_all(next.as_bytes()).await.unwrap();
        if !next.is_empty() {
            assert_eq!(guarded.read(&mut [0; 10]).await.unwrap(), next.len());
        }
        let began = Instant::now();
        guarded.shutdown().await.unwrap();
        assert_eq!(began.elapsed().as_secs(), expected, "{next:?}");
    }
}

/// How a connection of HTTP/2 ends that has an open stream, and whose client has sent this after its settings. It sends the
/// rest byte by byte, one each second.
async fn http2_ends(first: &[u8], rest: &'static [u8]) -> (String, u64) {
    let connections = Connections::new(&Options::default());
    let (io, mut client) = duplex(1000);
    let settings: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    let early = [HTTP2_PREFACE, settings, first].concat();
    let mut guarded = Guarded::new(io, early, Protocol::Http2, connections, Permit::default());
    let _answering = guarded.activity().answer();
    let began = Instant::now();
    let sending = tokio::spawn(async move {
        for byte in rest {
            tokio::time::sleep(Duration::from_secs(1)).await;
            client.write_all(&[*byte]).await.unwrap();
        }
        client
    });
    let error = loop {
        match guarded.read(&mut [0; 100]).await {
            Ok(length) => assert!(length > 0),
            Err(error) => break error,
        }
    };
    sending.abort();
    (error.to_string(), began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_http_2_is_idle_from_the_end_of_its_last_stream() {
    let connections = Connections::new(&Options::default());
    let (io, _client) = duplex(1000);
    let early = [HTTP2_PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let mut guarded = Guarded::new(io, early, Protocol::Http2, connections, Permit::default());
    let answering = guarded.activity().answer();
    let began = Instant::now();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(answering);
    });
    let ending = async {
        loop {
            match guarded.read(&mut [0; 100]).await {
                Ok(length) => assert!(length > 0),
                Err(error) => break error,
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(1000), ending).await.expect("it ends");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(began.elapsed().as_secs(), 1 + 75 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_head_over_http_2_has_a_time_limit() {
    let ends = ("request's head takes too long".to_owned(), 30);
    // One byte that goes on in another frame; two of which one has come.
    assert_eq!(http2_ends(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 7], b"").await, ends);
    assert_eq!(http2_ends(&[0, 0, 2, 1, 4, 0, 0, 0, 1, 7], b"").await, ends);
    // 50 that come slowly.
    assert_eq!(http2_ends(&[0, 0, 50, 1, 4, 0, 0, 0, 1], &[7; 49]).await, ends);
}

#[tokio::test]
async fn bytes_that_come_during_an_answer_are_given_back_after_it() {
    let (mut guarded, mut client, answering) = answered();
    client.write_all(b"GET").await.unwrap();
    guarded.write_all(b"hello").await.unwrap();
    guarded.flush().await.unwrap();
    assert_eq!(guarded.early, b"GET");
    drop(answering);
    let mut buf = [0; 10];
    assert_eq!(guarded.read(&mut buf).await.unwrap(), 3);
    assert_eq!(guarded.early.capacity(), 0);
}

#[tokio::test]
async fn too_many_bytes_during_an_answer_end_the_connection() {
    let (mut guarded, mut client, _answering) = answered();
    let sending = tokio::spawn(async move { client.write_all(&[b'x'; AHEAD + 10]).await });
    let error = guarded.read(&mut [0; 10]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    drop(guarded);
    let _ = sending.await;
}

#[tokio::test]
async fn a_flush_sees_a_client_that_has_closed() {
    let (mut guarded, mut client, _answering) = answered();
    client.write_all(b"more").await.unwrap();
    guarded.flush().await.unwrap();
    drop(client);
    let error = guarded.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_flush_after_a_read_sees_a_client_that_has_closed() {
    let (mut guarded, client, _answering) = answered();
    let read = std::future::poll_fn(|cx| {
        let read = Pin::new(&mut guarded).poll_read(cx, &mut ReadBuf::new(&mut [0; 10]));
        Poll::Ready(read.is_pending())
    });
    assert!(read.await);
    // As much as was read is known.
    guarded.flush().await.unwrap();
    drop(client);
    let error = guarded.flush().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}
