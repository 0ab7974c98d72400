//! A server for which no file is left, not even a spare one. It is alone in its process, whose limit it lowers.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Debug;
use std::fs::File;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidings::Hub;
use tidings_net::{Connections, Limits, Options};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const LIMIT: Duration = Duration::from_secs(10);

/// The warnings in the log.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut message = Message::default();
        event.record(&mut message);
        self.0.lock().unwrap().push(message.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Takes all files that the process may still open: some, so that there is more than a spare one when they are dropped.
fn take_all_files() -> Vec<File> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse::<u64>().ok());
    let most = numbers.max().unwrap() + 10;
    let limit = Rlimit { current: Some(most), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[tokio::test]
async fn a_client_that_waits_for_a_file_is_refused_once_and_the_log_says_it_once() {
    let hub = Hub::new();
    let mut options = Options::new(Limits::default());
    options.hubs.add(&hub);
    let connections = Connections::new(&options);
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let newcomer = TcpSocket::new_v4().unwrap();
    let warnings = Warnings::default();
    let _log = tracing::subscriber::set_default(warnings.clone());
    let files = take_all_files();
    let connecting = newcomer.connect(listener.local_addr().unwrap());
    let _newcomer = timeout(LIMIT, connecting).await.unwrap().unwrap();
    let refused = async {
        while hub.metrics().connections_refused == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // It looks for a file again and again.
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    tokio::select! {
        _ = connections.accept(&mut listener) => panic!("there is no file for it"),
        refused = timeout(LIMIT, refused) => refused.expect("it is refused"),
    }
    assert_eq!(hub.metrics().connections_refused, 1);
    let said = warnings.0.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("there are no files left for connections: "), "{said:?}");
    drop(files);
    let accepted = timeout(LIMIT, connections.accept(&mut listener)).await;
    assert!(accepted.is_ok(), "there are files again");
    assert_eq!(hub.metrics().connections_refused, 1);
}
