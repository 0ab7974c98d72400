//! Whether a client received every event once and in order.

use serde::{Deserialize, Serialize};

use crate::comparison::{Comparison, Span};
use crate::reading::{self, Reading};
use crate::track::{Step, Track};

/// What was wrong with the events that clients received, over all clients. See
/// [what is judged by what](crate#what-is-judged-by-what).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Events that a client did not receive although later ones came.
    pub missed: u64,
    /// Events that a client received again.
    pub duplicates: u64,
    /// Events that came after a later one.
    pub disordered: u64,
    /// Events that did not say what they were expected to: see
    /// [`Fields::expected`](crate::Fields::expected).
    pub foreign: u64,
    /// Resets that servers announced.
    pub resets: u64,
    /// Events that came again after a reset: no fault.
    pub repeated_after_reset: u64,
    /// Events that clients did not receive because of a reset, or because there was no id to
    /// resume from: no fault, as it was announced.
    pub missed_after_reset: u64,
    /// Events that came with an id whose position could be judged.
    pub judged_by_id: u64,
    /// Events that came with a number in their data.
    pub judged_by_number: u64,
    /// Events without a number whose position was compared with the other clients'.
    pub compared: u64,
    /// Events of which nothing could be judged: no position, no number.
    pub unjudged: u64,
}

impl Verdict {
    /// Nothing was missed, doubled, out of order or somebody else's.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.missed == 0 && self.duplicates == 0 && self.disordered == 0 && self.foreign == 0
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.missed += other.missed;
        self.duplicates += other.duplicates;
        self.disordered += other.disordered;
        self.foreign += other.foreign;
        self.resets += other.resets;
        self.repeated_after_reset += other.repeated_after_reset;
        self.missed_after_reset += other.missed_after_reset;
        self.judged_by_id += other.judged_by_id;
        self.judged_by_number += other.judged_by_number;
        self.compared += other.compared;
        self.unjudged += other.unjudged;
    }
}

/// Judges the events of one client, over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// A hash of the ids' epoch.
    history: u64,
    positions: Track,
    /// The events without a number, since the last reset, that were compared.
    span: Option<Span>,
    /// The numbers of each stream. Mostly there is one.
    streams: Vec<(u64, Track)>,
}

impl Judge {
    /// An event has come. `id` is what it has set itself, if anything.
    pub(crate) fn event(
        &mut self,
        id: Option<&[u8]>,
        reading: &Reading,
        verdict: &mut Verdict,
        comparison: &mut Comparison,
    ) {
        verdict.foreign += u64::from(reading.foreign);
        let by_id = id.and_then(position).map(|(history, position)| {
            verdict.judged_by_id += 1;
            (position, self.judge_position(history, position, verdict, comparison))
        });
        let order_is_judged = by_id.is_some();
        let is_new = by_id.is_none_or(|(_, step)| matches!(step, Step::First | Step::Ahead(_)));
        if let Some(number) = reading.number {
            verdict.judged_by_number += 1;
            // A duplicate by its id is one by its number, too.
            if !matches!(by_id, Some((_, Step::Repeated))) {
                self.judge_number(
                    reading.stream,
                    number,
                    order_is_judged && is_new,
                    by_id.is_some(),
                    verdict,
                );
            }
        } else if let Some((position, step)) = by_id {
            verdict.compared += 1;
            self.compare(position, step, comparison);
        } else {
            verdict.unjudged += 1;
        }
    }

    /// The server has said that there is a hole; or the client begins anew, as it has no id to
    /// resume from.
    pub(crate) fn restart(&mut self, comparison: &mut Comparison) {
        self.close(comparison);
        self.positions.restart();
        for (_, track) in &mut self.streams {
            track.restart();
        }
    }

    /// The span that is still open.
    pub(crate) fn span(&self) -> Option<Span> {
        self.span
    }

    /// The newest number of each stream.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (u64, u64)> {
        self.streams.iter().filter_map(|(stream, track)| Some((*stream, track.newest()?)))
    }

    fn judge_position(
        &mut self,
        history: u64,
        position: u64,
        verdict: &mut Verdict,
        comparison: &mut Comparison,
    ) -> Step {
        if history != self.history {
            self.close(comparison);
            self.history = history;
            self.positions = Track::default();
        }
        let step = self.positions.step(position);
        match step {
            Step::Repeated => verdict.duplicates += 1,
            Step::Late => verdict.disordered += 1,
            Step::First | Step::Ahead(_) if self.positions.is_from_before(position) => {
                verdict.repeated_after_reset += 1;
            }
            Step::First | Step::Ahead(_) => {}
        }
        step
    }

    /// `moved_on`: by its id it is newer than all before it. `has_id`: order and duplicates were
    /// judged by that already.
    fn judge_number(
        &mut self,
        stream: u64,
        number: u64,
        moved_on: bool,
        has_id: bool,
        verdict: &mut Verdict,
    ) {
        let known = self.streams.iter_mut().find(|(known, _)| *known == stream);
        let track = match known {
            Some((_, track)) => track,
            None => {
                self.streams.push((stream, Track::default()));
                match self.streams.last_mut() {
                    Some((_, track)) => track,
                    None => return,
                }
            }
        };
        let from_before = track.is_from_before(number);
        match track.step(number) {
            Step::First => verdict.missed_after_reset += track.since_before(number),
            Step::Ahead(skipped) => verdict.missed += skipped,
            Step::Late => {
                // It was counted as missed when the one after it came.
                verdict.missed = verdict.missed.saturating_sub(1);
                verdict.disordered += u64::from(!has_id);
            }
            // The id says that it is new: whoever counts began again.
            Step::Repeated if moved_on => {
                *track = Track::default();
                track.step(number);
            }
            Step::Repeated => verdict.duplicates += u64::from(!has_id),
        }
        if from_before && !has_id {
            verdict.repeated_after_reset += 1;
        }
    }

    fn compare(&mut self, position: u64, step: Step, comparison: &mut Comparison) {
        let history = self.history;
        let Some(span) = &mut self.span else {
            self.span = Some(Span { history, first: position, last: position });
            comparison.receive((history, position));
            return;
        };
        if step == Step::Repeated || position < span.first {
            return;
        }
        span.last = span.last.max(position);
        comparison.receive((history, position));
    }

    fn close(&mut self, comparison: &mut Comparison) {
        if let Some(span) = self.span.take() {
            comparison.close(span);
        }
    }
}

/// The history and the position in an id `<epoch>-<position>`, or `<position>`.
fn position(id: &[u8]) -> Option<(u64, u64)> {
    let dash = id.iter().rposition(|byte| *byte == b'-');
    let (epoch, position) = match dash {
        Some(dash) => (id.get(..dash)?, id.get(dash + 1..)?),
        None => (&b""[..], id),
    };
    if position.is_empty() || !position.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((reading::hash_of(epoch), std::str::from_utf8(position).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fields;

    /// What one client is sent: positions and numbers as they should be, until a test spoils them.
    #[derive(Clone)]
    struct Sent {
        id: Option<String>,
        data: String,
    }

    fn numbered(range: std::ops::Range<u64>) -> Vec<Sent> {
        // Positions have holes: other topics' events lie between.
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

    struct Court {
        fields: Fields,
        comparison: Comparison,
        verdict: Verdict,
        judges: Vec<Judge>,
    }

    impl Court {
        fn new() -> Self {
            Self {
                fields: Fields::default(),
                comparison: Comparison::default(),
                verdict: Verdict::default(),
                judges: Vec::new(),
            }
        }

        fn client(&mut self, sent: &[Sent]) {
            self.judges.push(Judge::default());
            self.goes_on(sent);
        }

        fn goes_on(&mut self, sent: &[Sent]) {
            let judge = self.judges.last_mut().unwrap();
            for event in sent {
                let reading = self.fields.read(b"", event.data.as_bytes());
                let id = event.id.as_deref().map(str::as_bytes);
                judge.event(id, &reading, &mut self.verdict, &mut self.comparison);
            }
        }

        fn resets(&mut self) {
            self.judges.last_mut().unwrap().restart(&mut self.comparison);
        }

        /// Missed, duplicates, disordered, foreign.
        fn faults(&self) -> [u64; 4] {
            let v = self.verdict;
            let compared = self.comparison.missed(self.judges.iter().filter_map(Judge::span));
            [v.missed + compared, v.duplicates, v.disordered, v.foreign]
        }
    }

    /// The same fault in each kind of stream: with ids and numbers, with either.
    #[track_caller]
    fn assert_faults(spoil: impl Fn(&mut Vec<Sent>), expected: [u64; 4]) {
        let kinds: [fn(Vec<Sent>) -> Vec<Sent>; 3] = [|sent| sent, without_ids, without_numbers];
        for (kind, of_kind) in kinds.into_iter().enumerate() {
            let mut court = Court::new();
            court.client(&of_kind(numbered(1..200)));
            let mut spoilt = of_kind(numbered(1..200));
            spoil(&mut spoilt);
            court.client(&spoilt);
            assert_eq!(court.faults(), expected, "kind {kind}");
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
        let mut court = Court::new();
        court.fields.expected = Some(("topic".into(), "load".into()));
        let sent = |topic: &str, n: u64| Sent {
            id: Some(format!("e-{n}")),
            data: format!("{{\"topic\":\"{topic}\"}}"),
        };
        court.client(&[sent("load", 1), sent("other", 2), sent("load", 3)]);
        assert_eq!(court.faults(), [0, 0, 0, 1]);
    }

    #[test]
    fn holes_in_positions_are_no_gaps() {
        let mut court = Court::new();
        let sent = without_numbers(numbered(1..200));
        court.client(&sent);
        court.client(&sent[50..]);
        court.client(&sent[..50]);
        assert_eq!(court.faults(), [0; 4]);
    }

    #[test]
    fn what_a_reset_repeats_is_no_duplicate() {
        for of_kind in [|sent| sent, without_ids, without_numbers] {
            let mut court = Court::new();
            court.client(&of_kind(numbered(1..100)));
            court.resets();
            court.goes_on(&of_kind(numbered(50..150)));
            assert_eq!(court.faults(), [0; 4]);
            assert_eq!(court.verdict.repeated_after_reset, 50);
        }
    }

    #[test]
    fn a_duplicate_and_a_drop_within_what_a_reset_repeats_are_caught() {
        let mut court = Court::new();
        court.client(&numbered(1..100));
        court.resets();
        let mut replay = numbered(50..150);
        replay.remove(20);
        replay.insert(10, replay[5].clone());
        court.goes_on(&replay);
        assert_eq!(court.faults(), [1, 1, 0, 0]);
    }

    #[test]
    fn what_a_reset_leaves_out_is_counted_apart() {
        let mut court = Court::new();
        court.client(&numbered(1..100));
        court.resets();
        court.goes_on(&numbered(120..150));
        assert_eq!(court.faults(), [0; 4]);
        assert_eq!(court.verdict.missed_after_reset, 20);
    }

    #[test]
    fn another_history_begins_anew() {
        let mut court = Court::new();
        court.client(&without_numbers(numbered(1..100)));
        let mut anew = without_numbers(numbered(1..10));
        anew.iter_mut().for_each(|event| event.id = event.id.take().map(|id| format!("f{id}")));
        court.goes_on(&anew);
        assert_eq!(court.faults(), [0; 4]);
    }

    #[test]
    fn numbers_that_begin_again_are_no_duplicates_if_the_ids_go_on() {
        let mut court = Court::new();
        court.client(&numbered(1..100));
        let mut again = numbered(100..150);
        for (n, event) in again.iter_mut().enumerate() {
            event.data = format!("{{\"n\":{}}}", n + 1);
        }
        again.remove(30);
        court.goes_on(&again);
        assert_eq!(court.faults(), [1, 0, 0, 0]);
    }

    #[test]
    fn ids_that_cannot_be_judged_are_said_to_be_so() {
        let mut court = Court::new();
        let opaque = Sent { id: Some("c9f0f895".into()), data: "x".into() };
        court.client(&[opaque.clone(), opaque]);
        assert_eq!((court.verdict.unjudged, court.verdict.judged_by_id), (2, 0));
        assert_eq!(position(b"17"), Some((reading::hash_of(b""), 17)));
        assert_eq!(position(b"a-b-17"), Some((reading::hash_of(b"a-b"), 17)));
        assert_eq!((position(b""), position(b"a-"), position(b"a-1x")), (None, None, None));
    }
}
