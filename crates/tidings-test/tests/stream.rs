//! Streams of bytes without a framework, and mostly without a runtime.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{StreamExt as _, stream};
use tidings::Hub;
use tidings_test::TestStream;

fn bytes(parts: &'static [&'static str]) -> TestStream {
    TestStream::new(stream::iter(parts).map(Ok::<_, Infallible>))
}

#[track_caller]
fn failure(future: impl Future) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| block_on(future))).err().expect("it should panic");
    *panic.downcast::<String>().expect("a message")
}

#[test]
fn a_stream_of_bytes_is_read_as_its_client_reads_it() {
    let mut stream =
        bytes(&["retry: 10\nid: 7\nda", "ta: a\ndata: b\n", "\n: still here\n\nid: 8\n\n"]);
    let message = block_on(stream.expect("message"));
    assert_eq!((message.data(), message.last_event_id()), ("a\nb", "7"));
    assert_eq!(stream.last_event_id(), "7");
    assert_eq!(stream.retry(), Some(Duration::from_millis(10)));
    assert_eq!(block_on(stream.expect_comment()), "still here");
    block_on(stream.expect_end());
    // A block without data sets it too.
    assert_eq!(stream.last_event_id(), "8");
}

#[test]
fn an_event_that_is_not_whole_does_not_count() {
    let mut stream = bytes(&["data: a\n\nid: 9\ndata: b\n"]);
    block_on(stream.next_message());
    block_on(stream.expect_end());
    assert_eq!(stream.last_event_id(), "");
}

#[test]
fn comments_without_end_do_not_outlast_the_limit() {
    let comments = stream::repeat(Ok::<_, Infallible>(": x\n\n"));
    let mut stream = TestStream::new(comments).limit(Duration::from_millis(10));
    let message = failure(stream.expect("created"));
    assert!(message.contains("nothing came within 10ms"), "{:.200}", message);
}

/// Comments without a pause, for long enough, and an end for a client that waits for longer.
fn comments() -> TestStream {
    let comments = stream::repeat(Ok::<_, Infallible>(": x\n\n")).take(10_000_000);
    TestStream::new(comments).limit(Duration::from_millis(10))
}

#[tokio::test]
async fn comments_without_end_do_not_outlast_a_silence() {
    comments().expect_silence(Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected silence for 10ms, but comments come without a pause")]
async fn comments_without_end_stop_a_paused_clock_and_do_not_outlast_the_limit() {
    comments().expect_silence(Duration::from_millis(10)).await;
}

#[test]
fn a_body_that_is_always_ready_does_not_outlast_the_limit() {
    for nothing in ["\n", "retry: 1\n\n", "unknown: x\n\n"] {
        // Long enough for the limit, and an end for a client that does not keep it.
        let body = stream::repeat(Ok::<_, Infallible>(nothing)).take(10_000_000);
        let mut stream = TestStream::new(body).limit(Duration::from_millis(10));
        let message = failure(stream.expect("created"));
        assert!(message.contains("nothing came within 10ms"), "{nothing:?}: {message}");
    }
}

#[test]
fn silence_without_a_runtime_is_in_the_machine_s_time() {
    let hub = Hub::new();
    let mut stream = TestStream::new(hub.subscribe("jobs").open().unwrap());
    let began = Instant::now();
    block_on(stream.expect_silence(Duration::from_millis(20)));
    assert!(began.elapsed() >= Duration::from_millis(20));
    hub.publish("jobs", tidings::Event::new("7")).wait().unwrap();
    let message = failure(stream.expect_silence(Duration::from_millis(20)));
    assert!(message.contains(r#"but next is event "message", id "#), "{message}");
    drop(stream);
    assert_eq!(hub.clients().count(), 0);
}

#[test]
fn an_end_is_no_silence() {
    let message = failure(bytes(&[]).expect_silence(Duration::ZERO));
    assert!(message.contains("expected silence for 0ns, but the stream ended"), "{message}");
}
