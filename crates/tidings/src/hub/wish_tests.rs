//! A log that delivers what is wanted may be late: it answers wishes that are no more. What is wanted may be
//! a family; and a log that delivers everything may have more than it has delivered yet.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::*;
use crate::backend::{
    Append, Appended, Epoch, Log, Origin, Page, Read, Record, Replica, Reply, Start,
};
use crate::subscription::Subscription;
use crate::sync::Mutex;

/// Does nothing by itself.
#[derive(Debug, Clone, Default)]
struct Late(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Delivers everything, and had this many events when the replica began.
    whole: Option<u64>,
    replica: Option<Replica>,
    wishes: Vec<(String, Option<u64>)>,
    records: Vec<Record>,
}

fn epoch() -> Epoch {
    Epoch::new("one").unwrap()
}

fn record(topic: &str, position: u64) -> Record {
    let event = Event::new(position.to_string());
    Record { position, at: 0, topic: Topic::new(topic).unwrap(), event }
}

impl Log for Late {
    fn start(&self, replica: Replica) -> Origin {
        let mut state = self.0.lock();
        state.replica = Some(replica);
        Origin { epoch: epoch(), position: 0, end: state.whole.unwrap_or_default() }
    }

    fn append(&self, _: Append, _: Reply<Appended>) {}

    fn read(&self, read: Read, reply: Reply<Page>) {
        let records = self.0.lock().records.clone().into_iter();
        let records = records.filter(|record| read.is_of(record.topic.as_str()));
        let mut records: Vec<_> = records.filter(|record| record.position <= read.to).collect();
        let from = match read.start {
            Start::After(from) => from,
            Start::Newest { count, .. } => {
                records.drain(..records.len().saturating_sub(count));
                records.first().map_or(read.to, |record| record.position - 1)
            }
        };
        records.retain(|record| record.position > from);
        reply.send(Ok(Page { epoch: epoch(), records, from, to: read.to }));
    }

    fn end(&self, _: Reply<u64>) {}

    fn stop(&self) {}

    fn is_selective(&self) -> bool {
        self.0.lock().whole.is_none()
    }

    fn want(&self, topics: &TopicPattern, wish: Option<u64>) {
        self.0.lock().wishes.push((topics.as_str().to_owned(), wish));
    }
}

/// The data of the events that a stream has for its client.
fn events(subscription: &mut Subscription) -> Vec<String> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut text = String::new();
    while let Poll::Ready(Some(bytes)) = Pin::new(&mut *subscription).poll_next(&mut cx) {
        text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| !data.starts_with('{')).map(str::to_owned).collect()
}

#[test]
fn an_answer_to_a_wish_that_is_no_more_is_none() {
    let log = Late::default();
    let hub = Hub::builder().retry(None).heartbeat(None).build_on(log.clone());
    let replica = log.0.lock().replica.clone().unwrap();
    drop(hub.subscribe(["a"]).open().unwrap());
    let mut stream = hub.subscribe(["a", "b"]).open().unwrap();
    let wishes = log.0.lock().wishes.clone();
    let [(_, Some(old)), (_, None), (_, Some(new)), (_, Some(b))] = &wishes[..] else {
        panic!("{wishes:?}")
    };
    let [topic_a, topic_b] = ["a", "b"].map(|name| TopicPattern::new(name).unwrap());
    let answer =
        |topic, wish: &u64, position| replica.followed([(topic, *wish)], position).unwrap();
    answer(&topic_b, b, 0);
    // Of the first wish; then the log ceases to deliver the topic, as it was told to.
    answer(&topic_a, old, 0);
    replica.deliver(record("a", 1)).unwrap();
    let records = [("a", 1), ("a", 2), ("b", 3), ("a", 4)];
    log.0.lock().records = records.map(|(topic, position)| record(topic, position)).to_vec();
    replica.deliver(record("b", 3)).unwrap();
    assert_eq!(events(&mut stream), Vec::<String>::new(), "nothing in front of the second");
    answer(&topic_a, new, 3);
    replica.deliver(record("a", 4)).unwrap();
    assert_eq!(events(&mut stream), ["1", "2", "3", "4"]);
}

#[test]
fn what_comes_between_a_wish_and_its_answer_is_read() {
    let log = Late::default();
    let hub = Hub::builder().retry(None).heartbeat(None).build_on(log.clone());
    let replica = log.0.lock().replica.clone().unwrap();
    let mut stream = hub.subscribe(["a"]).open().unwrap();
    let wish = log.0.lock().wishes[0].1.unwrap();
    assert_eq!(events(&mut stream), Vec::<String>::new());
    log.0.lock().records = vec![record("a", 1), record("a", 2)];
    replica.followed([(&TopicPattern::new("a").unwrap(), wish)], 1).unwrap();
    replica.deliver(record("a", 2)).unwrap();
    assert_eq!(events(&mut stream), ["1", "2"]);
}

#[test]
fn a_family_on_a_node_that_has_just_begun_has_its_history_from_the_log() {
    let log = Late::default();
    let records = [("a:1", 1), ("b", 2), ("a:2", 3), ("a:1", 4), ("a:3", 5)];
    let records = records.map(|(topic, position)| record(topic, position)).to_vec();
    log.0.lock().records = records.clone();
    log.0.lock().whole = Some(4);
    let keep = crate::Retention::default().events(2);
    let hub = Hub::builder().retry(None).heartbeat(None).retain("a:*", keep).unwrap();
    let hub = hub.build_on(log.clone());
    let replica = log.0.lock().replica.clone().unwrap();
    let mut stream = hub.subscribe_matching(["a:*"]).history(crate::History::All).open().unwrap();
    records.into_iter().for_each(|record| replica.deliver(record).unwrap());
    assert_eq!(events(&mut stream), ["4", "5"]);
}

#[test]
fn a_family_is_wanted_like_a_topic_and_what_comes_before_the_answer_is_read() {
    let log = Late::default();
    let hub = Hub::builder().retry(None).heartbeat(None).build_on(log.clone());
    let replica = log.0.lock().replica.clone().unwrap();
    let mut family = hub.subscribe_matching(["a:*"]).open().unwrap();
    let mut both = hub.subscribe(["a:1"]).matching(["a:*"]).open().unwrap();
    let wishes = log.0.lock().wishes.clone();
    let [(family_name, Some(wish)), (topic_name, Some(topic_wish))] = &wishes[..] else {
        panic!("{wishes:?}")
    };
    assert_eq!((&**family_name, &**topic_name), ("a:*", "a:1"));
    let answer = |name: &str, wish: &u64, position| {
        replica.followed([(&TopicPattern::new(name).unwrap(), *wish)], position).unwrap();
    };
    let records = [("a:1", 1), ("b", 2), ("a:2", 3), ("a:1", 4)];
    log.0.lock().records = records.map(|(topic, position)| record(topic, position)).to_vec();
    // Of the topic, which alone is followed.
    answer("a:1", topic_wish, 0);
    replica.deliver(record("a:1", 1)).unwrap();
    answer("a:*", wish, 3);
    replica.deliver(record("a:1", 4)).unwrap();
    assert_eq!(events(&mut family), ["1", "3", "4"]);
    assert_eq!(events(&mut both), ["1", "3", "4"]);
    // No topic is wanted because an event of it came.
    assert_eq!(log.0.lock().wishes.len(), 2);
    drop((family, both));
    let topics = hub.clients().topics();
    assert_eq!(topics.len(), 1, "what is retained: {topics:?}");
}
