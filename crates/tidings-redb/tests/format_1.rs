//! Files of format 1, which the version of this crate on redb 2.6 has written: 250 events of which the first are trimmed,
//! each with a key.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tempfile::TempDir;
use tidings::backend::LogErrorKind;
use tidings::{Event, Hub};
use tidings_redb::RedbLog;
use tidings_testkit::limit::within;
use tidings_testkit::log::Client;

const EPOCH: &str = "1nzdeyz94vtx";
/// The event at a position has the topic at its position modulo three, and its position as data.
const TOPICS: [&str; 3] = ["a", "news/today", "orders"];
const LAST: u64 = 250;

/// The file after its log was closed, and as a crash has left it.
const FILES: [&str; 2] = ["closed", "crashed"];

fn unpack(name: &str, folder: &Path) -> PathBuf {
    let packed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/format-1/{name}.redb.gz"));
    let path = folder.join("events.redb");
    let mut packed = GzDecoder::new(File::open(packed).unwrap());
    io::copy(&mut packed, &mut File::create(&path).unwrap()).unwrap();
    path
}

fn open(path: &Path) -> Hub {
    // They were published long ago.
    Hub::builder().build_on(RedbLog::builder().max_age(None).open(path).unwrap())
}

async fn check_resumes(hub: &Hub, topics: &[&str], from: u64) {
    let mut client = Client::expect(hub, topics, Some(&format!("{EPOCH}-{from}")), "resumed").await;
    let of_topic = |n: &u64| topics.contains(&TOPICS[*n as usize % 3]);
    let missed: Vec<_> = (from + 1..=LAST).filter(of_topic).collect();
    for (message, n) in client.read(missed.len()).await.iter().zip(missed) {
        assert_eq!(message.data(), n.to_string());
        assert_eq!(message.last_event_id(), format!("{EPOCH}-{n}"));
    }
}

#[tokio::test]
async fn clients_resume_on_a_file_of_format_1() {
    for name in FILES {
        let folder = TempDir::new().unwrap();
        let path = unpack(name, folder.path());
        let hub = open(&path);
        check_resumes(&hub, &TOPICS, 100).await;
        check_resumes(&hub, &["orders"], 200).await;
        check_resumes(&hub, &["news/today", "a"], 249).await;
        Client::expect(&hub, &["a"], Some(&format!("{EPOCH}-1")), "trimmed").await;
        let again =
            within("an answer", hub.publish_once("key-250", TOPICS[1], Event::new("again")))
                .await
                .unwrap();
        assert_eq!((again.id().to_string(), again.is_duplicate()), (format!("{EPOCH}-250"), true));
        drop(hub);

        // It has become a file of format 2, which that version refuses without touching it.
        assert_eq!(fs::read(&path).unwrap()[16..20], 2_u32.to_le_bytes());
        let hub = open(&path);
        check_resumes(&hub, &TOPICS, 100).await;
        let next = within("an answer", hub.publish("a", Event::new("next"))).await.unwrap();
        assert_eq!(next.id().to_string(), format!("{EPOCH}-251"));
    }
}

#[tokio::test]
async fn a_damaged_file_of_format_1_is_refused_and_kept() {
    for name in FILES {
        let folder = TempDir::new().unwrap();
        let path = unpack(name, folder.path());
        let mut image = fs::read(&path).unwrap();
        // In every copy of its page.
        let event = b"data\x03\0\0\x00200";
        let mut found = 0;
        for at in 0..image.len() - event.len() {
            if image[at..].starts_with(event) {
                image[at + event.len() - 1] ^= 1;
                found += 1;
            }
        }
        assert!(found > 0);
        fs::write(&path, &image).unwrap();
        let error = RedbLog::builder().open(&path).unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Corrupt, "{error}");
        assert_eq!(fs::read(&path).unwrap()[16..20], 1_u32.to_le_bytes());

        // redb does not read on in it, so nothing can be salvaged; the file stays.
        let log = RedbLog::builder().salvage(true).open(&path).unwrap();
        assert_eq!(log.stats().last(), 0, "{name}");
        let damaged = fs::read(folder.path().join("events.redb.damaged")).unwrap();
        assert_eq!(damaged[..20], image[..20]);
    }
}
