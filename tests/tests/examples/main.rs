//! The small examples, as programs.
//!
//! [`pages`] runs what is in `tests/examples`: their pages in Chromium, and clients of others.

mod collaboration;
mod dashboard;
mod datastar;
mod file_import;
mod graphql;
mod htmx;
mod news;
mod notifications;
mod pages;
mod sensors;
mod ticker;

use serde_json::Value;
use tidings::Message;
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Request, Response};

async fn start(package: &str) -> Process {
    Process::start_with(package, &[ANY_PORT]).await
}

fn post_form(target: &str, form: &str) -> Request {
    Request::post(target, form).header("content-type", "application/x-www-form-urlencoded")
}

fn put(target: &str, body: &str) -> Request {
    Request::new("PUT", target).body(body)
}

/// The next event with this name. Others are passed over.
async fn next(stream: &mut Response, name: &str) -> Message {
    loop {
        let message = stream.next_message().await;
        if message.event() == name {
            return message;
        }
    }
}

async fn next_json(stream: &mut Response, name: &str) -> Value {
    next(stream, name).await.json().expect("JSON")
}

/// A stream that goes on after what another one has seen.
async fn resume(server: &Process, request: Request, seen: &Response) -> Response {
    let request = request.header("last-event-id", seen.last_event_id());
    Response::to(server.addr(), request).await
}
