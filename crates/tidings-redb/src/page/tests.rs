use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tidings::Event;
use tidings::backend::{Append, Log, Reply};

use super::*;
use crate::RedbLog;

fn topic() -> Topic {
    Topic::new("a").unwrap()
}

fn append(log: &RedbLog, data: &str) -> u64 {
    let event = Event::new(data);
    let (reply, appended) = Reply::new();
    log.append(Append::new(topic(), event, None), reply);
    appended.wait().unwrap().position
}

/// Topics in turn, one event of each at a time.
fn append_to(log: &RedbLog, topics: &[&str], count: usize) {
    for n in 0..count {
        let topic = Topic::new(topics[n % topics.len()]).unwrap();
        let (reply, appended) = Reply::new();
        log.append(Append::new(topic, Event::new(n.to_string()), None), reply);
        appended.wait().unwrap();
    }
}

fn asking(asked: &[&str], start: Start) -> Read {
    let mut topics: Vec<_> = asked.iter().map(|name| TopicPattern::new(*name).unwrap()).collect();
    topics.sort();
    Read::new(topics, start, u64::MAX, usize::MAX)
}

fn positions(page: &Page) -> Vec<u64> {
    page.records.iter().map(|record| record.position).collect()
}

fn closed_log(path: &Path) {
    let log = RedbLog::open(path).unwrap();
    for n in 1..=50 {
        append(&log, &format!("<{n}> {}", "x".repeat(500)));
    }
}

fn after(position: u64) -> Read {
    let (topics, start) = (vec![topic().into()], Start::After(position));
    Read::new(topics, start, 50, usize::MAX)
}

fn noticed(store: &Store, position: u64, cause: &str) {
    let fault = read(store, &after(position)).unwrap_err();
    let Fault::Damaged(said) = fault else { panic!("{fault:?}") };
    assert_eq!(said, cause);
}

#[test]
fn damage_that_comes_while_the_file_is_open_is_noticed_where_it_is_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    closed_log(&path);
    let mut image = fs::read(&path).unwrap();
    let at = image.windows(5).position(|bytes| bytes == b"<33> ").unwrap();
    image[at + 100] ^= 1;
    fs::write(&path, image).unwrap();
    let store = Store::open_unchecked(&path, Arc::default()).unwrap();
    noticed(&store, 0, "the event at position 33 is not whole");
    noticed(&store, 32, "the event at position 33 is not whole");
    assert_eq!(read(&store, &after(33)).unwrap().records.len(), 17);
}

#[test]
fn an_index_that_lacks_an_event_is_noticed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    append_to(&RedbLog::open(&path).unwrap(), &["a:1", "a:2", "b"], 30);
    let store = Store::open_unchecked(&path, Arc::default()).unwrap();
    let txn = store.begin_write().unwrap();
    // The next one of its topic is 17.
    txn.open_table(INDEX).unwrap().remove(("a:2", 14)).unwrap();
    txn.commit().unwrap();
    for (asked, rest) in [(&["a:2"][..], 5), (&["a:*"], 10)] {
        for from in [0, 11, 13] {
            let fault = read(&store, &asking(asked, Start::After(from))).unwrap_err();
            let Fault::Damaged(cause) = fault else { panic!("{fault:?}") };
            assert_eq!(cause, "the index lacks an event before position 17");
        }
        let page = read(&store, &asking(asked, Start::After(14))).unwrap();
        assert_eq!(page.records.len(), rest);
    }
}

#[test]
fn a_pattern_is_all_topics_in_the_index_that_match() {
    // Topics next to the matching ones in the index, and one that is the prefix of the pattern.
    let topics = ["a", "a:", "a:1", "a:1:x", "a:é", "a;", "b:1", "a9"];
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    append_to(&RedbLog::open(&path).unwrap(), &topics, 5 * topics.len());
    let store = Store::open_unchecked(&path, Arc::default()).unwrap();
    for asked in [
        &["a:*"][..],
        &["*"],
        &["*:1"],
        &["a:*x"],
        &["a:*", "a:1", "*1"],
        &["a:1", "b*", "nothing"],
        &["nothing:*"],
        &["a:é*"],
        &["z*"],
    ] {
        let is_asked = |topic: &str| {
            let topic = Topic::new(topic).unwrap();
            asked.iter().any(|name| TopicPattern::new(*name).unwrap().matches(&topic))
        };
        let expected: Vec<_> = (1..=5 * topics.len() as u64)
            .filter(|position| is_asked(topics[(*position as usize - 1) % topics.len()]))
            .collect();
        let page = read(&store, &asking(asked, Start::After(0))).unwrap();
        assert_eq!((positions(&page), page.to), (expected.clone(), 5 * topics.len() as u64));
        // Page by page, one event each.
        let mut pages = Vec::new();
        let mut from = 0;
        while from < page.to {
            let mut one = asking(asked, Start::After(from));
            one.max_bytes = 1;
            let one = read(&store, &one).unwrap();
            assert!(one.records.len() <= 1 && one.to > from);
            pages.extend(positions(&one));
            from = one.to;
        }
        assert_eq!(pages, expected, "{asked:?}");
        for count in [0, 1, 7, 100] {
            let newest = read(&store, &asking(asked, Start::Newest { count, since: 0 })).unwrap();
            let last = &expected[expected.len() - expected.len().min(count)..];
            assert_eq!(positions(&newest), last, "the last {count} of {asked:?}");
        }
    }
}

#[test]
fn a_page_has_only_so_many_bytes_also_of_what_is_not_data() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let log = RedbLog::open(&path).unwrap();
    for _ in 0..3 {
        let event = Event::new("x").with_attribute("text", "x".repeat(1_000)).unwrap();
        let (reply, appended) = Reply::new();
        log.append(Append::new(topic(), event, None), reply);
        appended.wait().unwrap();
    }
    drop(log);
    let store = Store::open_unchecked(&path, Arc::default()).unwrap();
    let page = read(&store, &Read::new(vec![topic().into()], Start::After(0), 3, 1_000)).unwrap();
    assert_eq!((positions(&page), page.to), (vec![1], 1));
}

#[test]
fn what_was_trimmed_of_a_pattern_is_unknown() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let log = RedbLog::builder().max_events(100).open(&path).unwrap();
    append_to(&log, &["a:gone"], 10);
    append_to(&log, &["a:1", "b"], 200);
    drop(log);
    let store = Store::open_unchecked(&path, Arc::default()).unwrap();
    let trimmed = Reader::open(&store.begin_read().unwrap(), &after(0)).unwrap().state.trimmed;
    assert!((10..=110).contains(&trimmed), "{trimmed}");
    for asked in [&["a:*"][..], &["nothing:*"], &["b", "a:*"]] {
        for position in [0, 9, trimmed - 1] {
            let fault = read(&store, &asking(asked, Start::After(position))).unwrap_err();
            assert!(matches!(fault, Fault::Trimmed), "{fault:?}");
        }
        let page = read(&store, &asking(asked, Start::After(trimmed))).unwrap();
        let is_asked = |position: &u64| match asked {
            ["nothing:*"] => false,
            // Two topics in turn, and this one first.
            ["a:*"] => position % 2 == 1,
            _ => true,
        };
        let expected: Vec<_> = (trimmed + 1..=210).filter(is_asked).collect();
        assert_eq!(positions(&page), expected, "{asked:?}");
    }
}

#[test]
fn reads_do_not_wait_for_a_commit() {
    let folder = TempDir::new().unwrap();
    let log = RedbLog::open(folder.path().join("events.redb")).unwrap();
    let to = append(&log, "one");
    let page = log.shared().with(|store| {
        let _writing = store.begin_write()?;
        let (reply, page) = Reply::new();
        let mut asked = after(0);
        asked.to = to;
        log.read(asked, reply);
        let (send, receive) = mpsc::channel();
        thread::spawn(move || send.send(page.wait()));
        Ok(receive.recv_timeout(Duration::from_secs(10)).expect("an answer meanwhile"))
    });
    assert_eq!(page.unwrap().unwrap().records.len(), 1);
}
