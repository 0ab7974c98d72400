//! Reads the events of a file.

use std::path::Path;

use tidings::TopicPattern;
use tidings::backend::{Epoch, Log, Read, Record, Reply, Start};
use tidings_redb::RedbLog;

/// All events of some topics.
pub(crate) fn read(path: &Path, topics: &[&str]) -> (Option<Epoch>, Vec<Record>) {
    let log = RedbLog::open(path).expect("the log opens");
    let mut topics: Vec<_> =
        topics.iter().map(|topic| TopicPattern::new(*topic).expect("a topic")).collect();
    topics.sort_unstable();
    let (reply, end) = Reply::new();
    log.end(reply);
    let to = end.wait().expect("an end");
    let (mut epoch, mut records, mut from) = (None, Vec::new(), 0);
    while from < to {
        let (reply, page) = Reply::new();
        let (topics, start) = (topics.clone(), Start::After(from));
        log.read(Read::new(topics, start, to, 100_000), reply);
        let page = page.wait().expect("a page");
        assert!(page.from == from && page.to > from);
        from = page.to;
        epoch = Some(page.epoch);
        records.extend(page.records);
    }
    (epoch, records)
}
