use std::collections::BTreeMap;

/// Names an event: a hash of its history, and its position there.
type EventKey = (u64, u64);

/// A client's events from the first to the last, without a reset between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) history: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Compares what clients of the same stream have received. A client with the events 5 to 9, but
/// without 7, which another client has, has missed 7.
///
/// It counts how many clients have each event, and where the span of each begins and ends. So its
/// size depends on the number of events, not of clients.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    received: BTreeMap<EventKey, u64>,
    /// How many more spans cover the events from this one on.
    spans: BTreeMap<EventKey, i64>,
}

/// Later events and spans are not compared.
const MOST_EVENTS: usize = 1_000_000;

impl Comparison {
    /// A client has received this event for the first time.
    pub(crate) fn receive(&mut self, event: EventKey) {
        if let Some(clients) = self.received.get_mut(&event) {
            *clients += 1;
        } else if self.received.len() < MOST_EVENTS {
            self.received.insert(event, 1);
        }
    }

    /// A client's span has ended.
    pub(crate) fn close(&mut self, span: Span) {
        if self.spans.len() < MOST_EVENTS {
            add(&mut self.spans, span);
        }
    }

    /// How many deliveries were missed, given the spans that are still open.
    pub(crate) fn missed(&self, open: impl IntoIterator<Item = Span>) -> u64 {
        let mut spans = self.spans.clone();
        for span in open {
            add(&mut spans, span);
        }
        let mut changes = spans.into_iter().peekable();
        let mut clients = 0_i64;
        let mut missed = 0;
        for (event, received) in &self.received {
            while let Some((_, change)) = changes.next_if(|(at, _)| at <= event) {
                clients += change;
            }
            missed += u64::try_from(clients).unwrap_or(0).saturating_sub(*received);
        }
        missed
    }
}

fn add(spans: &mut BTreeMap<EventKey, i64>, span: Span) {
    *spans.entry((span.history, span.first)).or_default() += 1;
    *spans.entry((span.history, span.last.saturating_add(1))).or_default() -= 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(history: u64, first: u64, last: u64) -> Span {
        Span { history, first, last }
    }

    #[test]
    fn an_event_that_only_others_have_was_missed() {
        let mut comparison = Comparison::default();
        for position in [1, 5, 7, 9] {
            comparison.receive((0, position));
        }
        for position in [5, 9] {
            comparison.receive((0, position));
        }
        assert_eq!(comparison.missed([span(0, 1, 9), span(0, 5, 9)]), 1);
        comparison.receive((0, 7));
        assert_eq!(comparison.missed([span(0, 1, 9), span(0, 5, 9)]), 0);
    }

    #[test]
    fn before_its_first_and_after_its_last_event_a_client_misses_nothing() {
        let mut comparison = Comparison::default();
        for history in [0, 1] {
            for position in 0..10 {
                comparison.receive((history, position));
            }
        }
        comparison.receive((0, 4));
        comparison.close(span(0, 4, 4));
        assert_eq!(comparison.missed([span(0, 0, 9), span(1, 0, 9)]), 0);
    }
}
