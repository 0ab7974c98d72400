//! Whether a client received every event once and in order.

use std::collections::HashMap;

use crate::comparison::{Comparison, Span};
use crate::counts::Verdict;
use crate::fields::{self, Reading};
use crate::track::{Arrival, Track};

/// An event that is earlier than the first one by so much was not overtaken by it.
const NOT_OVERTAKEN: u64 = 8;

/// How many streams of a client are known. Events of others are not judged.
const MOST_STREAMS: usize = 1000;

/// How many epochs of a client are known.
const MOST_HISTORIES: usize = 16;

/// The digits of a time in milliseconds, until the year 2286.
const MILLIS_DIGITS: usize = 13;
/// How many events one millisecond of a Redis Stream may have.
const MOST_IN_A_MILLI: u64 = 1 << 20;

/// Judges the events of one client, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// One for each epoch of the ids; the one of the newest event is the last. Usually a client has
    /// one.
    histories: Vec<History>,
    /// The numbers of each stream.
    streams: HashMap<u64, Numbers>,
}

/// The numbers of one stream.
#[derive(Debug, Default)]
struct Numbers {
    track: Track,
    /// The newest event had no id, so nobody can resume after it.
    without_id: bool,
}

/// The events whose ids have the same epoch.
#[derive(Debug, Default)]
struct History {
    /// A hash of it.
    epoch: u64,
    positions: Track,
    has_several: bool,
    /// The events without a number, since the last reset, that were compared.
    span: Option<Span>,
}

impl Judge {
    /// An event has come. `id` is the one that it has set itself, if any.
    pub(crate) fn event(
        &mut self,
        id: Option<&str>,
        reading: &Reading,
        verdict: &mut Verdict,
        comparison: &mut Comparison,
    ) {
        verdict.foreign += u64::from(reading.foreign);
        let is_known =
            self.streams.len() < MOST_STREAMS || self.streams.contains_key(&reading.stream);
        let is_new_number = reading.number.is_some_and(|number| {
            let numbers = self.streams.get(&reading.stream);
            is_known && numbers.is_none_or(|numbers| numbers.track.is_new(number))
        });
        let by_id = id.and_then(position).and_then(|(epoch, position)| {
            let arrival =
                self.judge_position(epoch, position, is_new_number, verdict, comparison)?;
            verdict.judged_by_id += 1;
            Some((position, arrival))
        });
        let order_is_judged = by_id.is_some();
        let is_new =
            by_id.is_none_or(|(_, arrival)| matches!(arrival, Arrival::First | Arrival::Ahead(_)));
        match (reading.number, by_id) {
            (Some(number), _) if is_known => {
                verdict.judged_by_number += 1;
                // A duplicate by its id is one by its number, too.
                if !matches!(by_id, Some((_, Arrival::Repeated))) {
                    self.judge_number(
                        reading.stream,
                        number,
                        order_is_judged && is_new,
                        by_id.is_some(),
                        verdict,
                    );
                }
                if let Some(numbers) = self.streams.get_mut(&reading.stream) {
                    numbers.without_id = id.is_none();
                }
            }
            (None, Some((position, arrival))) => {
                verdict.compared += 1;
                self.compare(position, arrival, comparison);
            }
            _ => verdict.unjudged += 1,
        }
    }

    /// The client comes back, and resumes after its last id.
    pub(crate) fn resume(&mut self) {
        for numbers in self.streams.values_mut().filter(|numbers| numbers.without_id) {
            numbers.track.restart();
        }
    }

    /// The server has announced a gap, or the client has no id to resume from.
    pub(crate) fn restart(&mut self, comparison: &mut Comparison) {
        for history in &mut self.histories {
            history.close(comparison);
            history.positions.restart();
        }
        for numbers in self.streams.values_mut() {
            numbers.track.restart();
        }
    }

    /// Goes on in another comparison, from the newest events on.
    pub(crate) fn continue_in(&mut self, comparison: &mut Comparison) {
        for span in self.histories.iter_mut().filter_map(|history| history.span.as_mut()) {
            span.first = span.last;
            comparison.receive((span.history, span.last));
        }
    }

    /// The spans that are still open.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> {
        self.histories.iter().filter_map(|history| history.span)
    }

    /// `None` if the position says nothing, because the epoch changes with every event.
    fn judge_position(
        &mut self,
        epoch: u64,
        position: u64,
        is_new_number: bool,
        verdict: &mut Verdict,
        comparison: &mut Comparison,
    ) -> Option<Arrival> {
        let is_judged = self.enter(epoch, verdict, comparison);
        let History { positions, .. } = self.histories.last_mut()?;
        let mut arrival = positions.record(position);
        if arrival == Arrival::Repeated && is_new_number {
            // The id is of several events, or ids have started again.
            verdict.histories += 1;
            *positions = Track::default();
            arrival = positions.record(position);
        }
        match arrival {
            Arrival::Repeated => verdict.duplicates += 1,
            Arrival::Late | Arrival::Earlier(_) => verdict.disordered += 1,
            Arrival::First | Arrival::Ahead(_) if positions.is_from_before(position) => {
                verdict.repeated_after_reset += 1;
            }
            Arrival::First | Arrival::Ahead(_) => {}
        }
        is_judged.then_some(arrival)
    }

    /// Makes the epoch's history the last one. Returns whether it has had an event, or may be the
    /// successor of another history, which has had several.
    fn enter(&mut self, epoch: u64, verdict: &mut Verdict, comparison: &mut Comparison) -> bool {
        if let Some(at) = self.histories.iter().position(|history| history.epoch == epoch) {
            let mut history = self.histories.remove(at);
            history.has_several = true;
            self.histories.push(history);
            return true;
        }
        let is_judged = self.histories.last().is_none_or(|history| history.has_several);
        verdict.histories += u64::from(!self.histories.is_empty());
        if self.histories.len() == MOST_HISTORIES {
            self.histories.remove(0).close(comparison);
        }
        self.histories.push(History { epoch, ..History::default() });
        is_judged
    }

    /// `moved_on`: by its id it is newer than all earlier ones. `has_id`: the id has decided on
    /// order and duplicates already.
    fn judge_number(
        &mut self,
        stream: u64,
        number: u64,
        moved_on: bool,
        has_id: bool,
        verdict: &mut Verdict,
    ) {
        let Numbers { track, .. } = self.streams.entry(stream).or_default();
        let from_before = track.is_from_before(number);
        match track.record(number) {
            Arrival::First => verdict.missed_after_reset += track.since_before(number),
            Arrival::Ahead(skipped) => verdict.missed += skipped,
            Arrival::Late => {
                // It was counted as missed when the one after it came.
                verdict.missed = verdict.missed.saturating_sub(1);
                verdict.disordered += u64::from(!has_id);
            }
            // The id says that it is new: the publisher has started to count again.
            Arrival::Repeated | Arrival::Earlier(NOT_OVERTAKEN..) if moved_on => {
                *track = Track::default();
                track.record(number);
            }
            Arrival::Earlier(_) => verdict.disordered += u64::from(!has_id),
            Arrival::Repeated => verdict.duplicates += u64::from(!has_id),
        }
        if from_before && !has_id {
            verdict.repeated_after_reset += 1;
        }
    }

    fn compare(&mut self, position: u64, arrival: Arrival, comparison: &mut Comparison) {
        let Some(History { epoch, span, .. }) = self.histories.last_mut() else { return };
        let history = *epoch;
        let Some(span) = span else {
            *span = Some(Span { history, first: position, last: position });
            comparison.receive((history, position));
            return;
        };
        if arrival == Arrival::Repeated || position < span.first {
            return;
        }
        span.last = span.last.max(position);
        comparison.receive((history, position));
    }
}

impl History {
    fn close(&mut self, comparison: &mut Comparison) {
        if let Some(span) = self.span.take() {
            comparison.close(span);
        }
    }
}

/// A hash of the epoch, and the position, in an id `<epoch>-<position>` or `<position>`. The id of a
/// Redis Stream, `<milliseconds>-<number>`, is a position.
fn position(id: &str) -> Option<(u64, u64)> {
    // The parser of numbers would accept a sign.
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    let (epoch, position) = id.rsplit_once('-').unwrap_or(("", id));
    let position = number(position)?;
    let may_be_time = epoch.len() == MILLIS_DIGITS && position < MOST_IN_A_MILLI;
    Some(match number(epoch).filter(|_| may_be_time) {
        Some(millis) => (fields::hash_of(""), millis * MOST_IN_A_MILLI + position),
        None => (fields::hash_of(epoch), position),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fields;

    /// An event that a client is sent, as it should be until a test spoils it.
    #[derive(Clone)]
    struct Sent {
        id: Option<String>,
        data: String,
    }

    fn numbered(range: std::ops::Range<u64>) -> Vec<Sent> {
        // Positions are not dense: they count other topics' events, too.
        let each = |n| Sent { id: Some(format!("e-{}", n * 3)), data: format!("{{\"n\":{n}}}") };
        range.map(each).collect()
    }

    fn without_ids(mut sent: Vec<Sent>) -> Vec<Sent> {
        sent.iter_mut().for_each(|event| event.id = None);
        sent
    }

    fn without_numbers(mut sent: Vec<Sent>) -> Vec<Sent> {
        sent.iter_mut().for_each(|event| event.data = "x".into());
        sent
    }

    struct Clients {
        fields: Fields,
        comparison: Comparison,
        verdict: Verdict,
        judges: Vec<Judge>,
    }

    impl Clients {
        fn new() -> Self {
            Self {
                fields: Fields::default(),
                comparison: Comparison::default(),
                verdict: Verdict::default(),
                judges: Vec::new(),
            }
        }

        fn add(&mut self, sent: &[Sent]) {
            self.judges.push(Judge::default());
            self.continue_with(sent);
        }

        fn continue_with(&mut self, sent: &[Sent]) {
            let judge = self.judges.last_mut().unwrap();
            for event in sent {
                let reading = self.fields.read("", &event.data);
                let id = event.id.as_deref();
                judge.event(id, &reading, &mut self.verdict, &mut self.comparison);
            }
        }

        fn reset_last(&mut self) {
            self.judges.last_mut().unwrap().restart(&mut self.comparison);
        }

        /// Missed, duplicates, disordered, foreign.
        fn faults(&self) -> [u64; 4] {
            let v = self.verdict;
            let spans = self.judges.iter().flat_map(|judge| judge.spans());
            let compared = self.comparison.missed(spans);
            [v.missed + compared, v.duplicates, v.disordered, v.foreign]
        }
    }

    /// The same fault in streams with ids and numbers, and with either of them.
    #[track_caller]
    fn assert_faults(spoil: impl Fn(&mut Vec<Sent>), expected: [u64; 4]) {
        let kinds: [fn(Vec<Sent>) -> Vec<Sent>; 3] = [|sent| sent, without_ids, without_numbers];
        for (kind, of_kind) in kinds.into_iter().enumerate() {
            let mut clients = Clients::new();
            clients.add(&of_kind(numbered(1..200)));
            let mut spoilt = of_kind(numbered(1..200));
            spoil(&mut spoilt);
            clients.add(&spoilt);
            assert_eq!(clients.faults(), expected, "kind {kind}");
        }
    }

    #[test]
    fn a_clean_stream_is_clean() {
        assert_faults(|_| {}, [0; 4]);
    }

    #[test]
    fn a_drop_is_caught() {
        assert_faults(|sent| drop(sent.remove(100)), [1, 0, 0, 0]);
        assert_faults(|sent| drop(sent.drain(100..103)), [3, 0, 0, 0]);
    }

    #[test]
    fn a_duplicate_is_caught() {
        assert_faults(|sent| sent.insert(100, sent[99].clone()), [0, 1, 0, 0]);
        assert_faults(|sent| sent.insert(100, sent[90].clone()), [0, 1, 0, 0]);
    }

    #[test]
    fn a_reordering_is_caught() {
        assert_faults(|sent| sent.swap(100, 101), [0, 0, 1, 0]);
        let later = |sent: &mut Vec<Sent>| {
            let event = sent.remove(100);
            sent.insert(110, event);
        };
        assert_faults(later, [0, 0, 1, 0]);
    }

    #[test]
    fn another_topics_event_is_caught() {
        let mut clients = Clients::new();
        clients.fields.expected = Some(("topic".into(), "load".into()));
        let sent = |topic: &str, n: u64| Sent {
            id: Some(format!("e-{n}")),
            data: format!("{{\"topic\":\"{topic}\"}}"),
        };
        clients.add(&[sent("load", 1), sent("other", 2), sent("load", 3)]);
        assert_eq!(clients.faults(), [0, 0, 0, 1]);
    }

    #[test]
    fn positions_that_are_not_dense_are_no_gaps() {
        let mut clients = Clients::new();
        let sent = without_numbers(numbered(1..200));
        clients.add(&sent);
        clients.add(&sent[50..]);
        clients.add(&sent[..50]);
        assert_eq!(clients.faults(), [0; 4]);
    }

    #[test]
    fn an_event_that_a_reset_repeats_is_no_duplicate() {
        for of_kind in [|sent| sent, without_ids, without_numbers] {
            let mut clients = Clients::new();
            clients.add(&of_kind(numbered(1..100)));
            clients.reset_last();
            clients.continue_with(&of_kind(numbered(50..150)));
            assert_eq!(clients.faults(), [0; 4]);
            assert_eq!(clients.verdict.repeated_after_reset, 50);
        }
    }

    #[test]
    fn a_duplicate_and_a_drop_within_the_replay_after_a_reset_are_caught() {
        let mut clients = Clients::new();
        clients.add(&numbered(1..100));
        clients.reset_last();
        let mut replay = numbered(50..150);
        replay.remove(20);
        replay.insert(10, replay[5].clone());
        clients.continue_with(&replay);
        assert_eq!(clients.faults(), [1, 1, 0, 0]);
    }

    #[test]
    fn an_event_that_a_reset_leaves_out_is_no_fault() {
        let mut clients = Clients::new();
        clients.add(&numbered(1..100));
        clients.reset_last();
        clients.continue_with(&numbered(120..150));
        assert_eq!(clients.faults(), [0; 4]);
        assert_eq!(clients.verdict.missed_after_reset, 20);
    }

    #[test]
    fn another_history_starts_again() {
        let mut clients = Clients::new();
        clients.add(&without_numbers(numbered(1..100)));
        let mut again = without_numbers(numbered(1..10));
        again.iter_mut().for_each(|event| event.id = event.id.take().map(|id| format!("f{id}")));
        clients.continue_with(&again);
        assert_eq!(clients.faults(), [0; 4]);
    }

    #[test]
    fn a_comparison_that_starts_again_finds_what_is_missed_from_then_on() {
        let mut clients = Clients::new();
        let sent = without_numbers(numbered(1..50));
        clients.add(&sent[..20]);
        clients.add(&sent[..15]);
        clients.comparison = Comparison::default();
        for judge in &mut clients.judges {
            judge.continue_in(&mut clients.comparison);
        }
        assert_eq!(clients.faults(), [0; 4]);
        clients.continue_with(&[&sent[15..30], &sent[31..]].concat());
        clients.judges.rotate_left(1);
        clients.continue_with(&sent[20..]);
        assert_eq!(clients.faults(), [1, 0, 0, 0]);
    }

    #[test]
    fn ids_whose_epoch_always_changes_are_judged_as_a_whole_or_not_at_all() {
        type Id = fn(u64) -> String;
        let of_redis = |n: u64| format!("{}-{}", 1_700_000_000_000 + n / 2, n % 2);
        let other = |n: u64| format!("x{n}-0");
        let ids: [(Id, u64); 2] = [(of_redis, 51), (other, 1)];
        for (id, judged_by_id) in ids {
            let mut clients = Clients::new();
            let mut sent = numbered(1..50);
            for (n, event) in (1..).zip(&mut sent) {
                event.id = Some(id(n));
            }
            // A replay from the wrong position.
            let again = sent[5..7].to_vec();
            drop(sent.splice(40..40, again));
            clients.add(&sent);
            assert_eq!(clients.faults(), [0, 2, 0, 0], "{}", id(0));
            assert_eq!(clients.verdict.judged_by_id, judged_by_id, "{}", id(0));
        }
    }

    #[test]
    fn epochs_that_take_turns_are_judged_each() {
        let sent = |n: u64| {
            let topic = if n.is_multiple_of(2) { "orders" } else { "news" };
            Sent { id: Some(format!("{topic}-{n}")), data: "x".into() }
        };
        let all: Vec<_> = (1..50).map(sent).collect();
        let mut spoilt = all.clone();
        spoilt.remove(20);
        spoilt.insert(31, spoilt[20].clone());
        spoilt.swap(40, 42);
        let mut clients = Clients::new();
        clients.add(&all);
        clients.add(&spoilt);
        assert_eq!(clients.faults(), [1, 1, 1, 0]);
        assert_eq!(clients.verdict.histories, 2);
    }

    #[test]
    fn numbers_that_start_again_are_no_duplicates_if_the_ids_go_on() {
        let mut clients = Clients::new();
        clients.add(&numbered(1..100));
        let mut again = numbered(100..150);
        for (n, event) in again.iter_mut().enumerate() {
            event.data = format!("{{\"n\":{}}}", n + 1);
        }
        again.remove(30);
        clients.continue_with(&again);
        assert_eq!(clients.faults(), [1, 0, 0, 0]);
    }

    #[test]
    fn ids_that_repeat_or_start_again_are_no_duplicates_if_the_numbers_go_on() {
        type Id = fn(u64) -> u64;
        // A time, which several events have, and a counter that starts again with its server.
        let ids: [Id; 2] = [|n| n / 5, |n| n % 300];
        for (kind, id) in ids.into_iter().enumerate() {
            let mut sent = numbered(1..900);
            for (n, event) in (1..).zip(&mut sent) {
                event.id = Some(id(n).to_string());
            }
            let mut clients = Clients::new();
            clients.add(&sent);
            assert_eq!(clients.faults(), [0; 4], "kind {kind}");
            assert!(clients.verdict.histories > 0, "kind {kind}");
            sent.insert(700, sent[699].clone());
            sent.remove(450);
            clients.add(&sent);
            assert_eq!(clients.faults(), [1, 1, 0, 0], "kind {kind}");
        }
    }

    #[test]
    fn what_came_without_an_id_may_be_left_out_or_repeated_when_its_client_comes_back() {
        let all = without_ids(numbered(1..20));
        let mut clients = Clients::new();
        clients.add(&all[..10]);
        clients.judges[0].resume();
        clients.continue_with(&all[15..]);
        assert_eq!((clients.faults(), clients.verdict.missed_after_reset), ([0; 4], 5));
        // Only the tenth has an id, after which the server resumes.
        let mut some = all;
        some[9] = numbered(10..11).remove(0);
        let mut clients = Clients::new();
        clients.add(&some[..15]);
        clients.judges[0].resume();
        clients.continue_with(&some[10..]);
        assert_eq!((clients.faults(), clients.verdict.repeated_after_reset), ([0; 4], 5));
        // What has an id must be neither.
        let mut clients = Clients::new();
        clients.add(&numbered(1..10));
        clients.judges[0].resume();
        clients.continue_with(&numbered(9..15));
        clients.judges[0].resume();
        clients.continue_with(&numbered(16..20));
        assert_eq!(clients.faults(), [1, 1, 0, 0]);
    }

    #[test]
    fn what_is_earlier_than_a_clients_first_event_was_not_missed() {
        let mut clients = Clients::new();
        let mut dropped = numbered(1..60);
        dropped.remove(20);
        clients.add(&dropped);
        clients.add(&numbered(50..60));
        // The publisher starts to count again.
        let mut again = numbered(60..90);
        for (n, event) in again.iter_mut().enumerate() {
            event.data = format!("{{\"n\":{}}}", n + 1);
        }
        again.remove(10);
        clients.continue_with(&again);
        assert_eq!(clients.faults(), [2, 0, 0, 0]);
        // The first two in the wrong order.
        for of_kind in [|sent| sent, without_ids] {
            let mut swapped = of_kind(numbered(1..20));
            swapped.swap(0, 1);
            clients.add(&swapped);
        }
        assert_eq!(clients.faults(), [2, 0, 2, 0]);
    }

    #[test]
    fn events_of_more_streams_than_a_client_knows_are_not_judged() {
        let mut clients = Clients::new();
        let of_stream =
            |stream: usize| Sent { id: None, data: format!("{{\"n\":1,\"stream\":\"{stream}\"}}") };
        let sent: Vec<_> = (0..MOST_STREAMS + 5).map(of_stream).collect();
        clients.add(&sent);
        clients.continue_with(&sent[..10]);
        assert_eq!(clients.faults(), [0, 10, 0, 0]);
        assert_eq!((clients.verdict.judged_by_number, clients.verdict.unjudged), (1010, 5));
        assert_eq!(clients.judges[0].streams.len(), MOST_STREAMS);
    }

    #[test]
    fn an_opaque_id_is_counted_as_unjudged() {
        let mut clients = Clients::new();
        let opaque = Sent { id: Some("c9f0f895".into()), data: "x".into() };
        clients.add(&[opaque.clone(), opaque]);
        assert_eq!((clients.verdict.unjudged, clients.verdict.judged_by_id), (2, 0));
        assert_eq!(position("17"), Some((fields::hash_of(""), 17)));
        assert_eq!(position("a-b-17"), Some((fields::hash_of("a-b"), 17)));
        assert_eq!(position("1700000000000-1").unwrap().0, fields::hash_of(""));
        assert_eq!((position(""), position("a-"), position("a-1x")), (None, None, None));
    }
}
