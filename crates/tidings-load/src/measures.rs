use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use tidings::{END_EVENT, Message, STATUS_EVENT};

use crate::Fields;
use crate::comparison::Comparison;
use crate::counts::{Clients, Sample, Tally};
use crate::judge::Judge;
use crate::latency::Latency;
use crate::plan::ClientKind;
use crate::publisher::LastEvent;
use crate::stream_end::StreamEnd;

/// A server may subscribe a client this many microseconds after it has sent the head.
const SUBSCRIBE_MICROS: u64 = 100_000;

/// A client that comes back has lost its stream if it waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client may be about to have its stream if it waits no longer for it.
const MOMENT: Duration = Duration::from_millis(500);

/// If so many clients give up first, the others will, too.
const FIRST_CLIENTS: usize = 20;

/// Microseconds since the Unix epoch.
pub(crate) fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// One client, over all its connections.
#[derive(Debug, Default)]
struct ClientState {
    kind: ClientKind,
    judge: Judge,
    /// The next `Last-Event-ID`.
    last_id: String,
    /// What the stream has set.
    retry: Option<Duration>,
    /// It must receive what is published after this time, in microseconds since the Unix epoch. None
    /// until its first stream, and while it reconnects without an id of what is published.
    subscribed: Option<u64>,
    /// The first time for which that was so.
    first_subscribed: Option<u64>,
    /// The newest number of the load's own publisher.
    newest_published: Option<u64>,
    /// That came without an id.
    published_without_id: bool,
    deliveries: u64,
    is_streaming: bool,
    has_streamed: bool,
    was_evicted: bool,
    has_given_up: bool,
    is_finished: bool,
    /// It has tried in vain since its last stream.
    has_failed: bool,
    /// Since when it has tried to get a stream.
    requested: Option<Instant>,
}

impl ClientState {
    fn is_lost(&self) -> bool {
        let is_away = self.has_streamed && !self.is_streaming && !self.is_finished;
        let is_evicted = self.kind != ClientKind::Reader && self.was_evicted;
        is_away && !is_evicted && (self.has_failed || self.tries_for(PATIENCE))
    }

    fn is_waiting(&self) -> bool {
        !self.has_streamed && !self.has_given_up && (self.has_failed || self.tries_for(MOMENT))
    }

    /// It has had a stream, and may still have another one.
    fn is_unanswered(&self) -> bool {
        self.has_streamed && !self.is_finished && self.tries_for(MOMENT) && !self.is_lost()
    }

    /// Whether it has tried for longer than this to get a stream.
    fn tries_for(&self, time: Duration) -> bool {
        self.requested.is_some_and(|since| since.elapsed() > time)
    }
}

/// Everything that the clients of one fleet measure, under one lock that each read takes once. All
/// clients run on one thread, so hardly any of them ever waits for it.
#[derive(Debug)]
pub(crate) struct Measures {
    pub(crate) tally: Tally,
    clients: Vec<ClientState>,
    comparison: Comparison,
    samples: Vec<Sample>,
    next_sample: Sample,
    /// The number of deliveries that somebody waits for, and how many clients have received them.
    wanted: u64,
    have_wanted: usize,
}

impl Measures {
    pub(crate) fn new(kinds: impl Iterator<Item = ClientKind>) -> Self {
        let clients: Vec<_> =
            kinds.map(|kind| ClientState { kind, ..ClientState::default() }).collect();
        let of_kind = |kind| clients.iter().filter(|client| client.kind == kind).count() as u64;
        let counts = Clients {
            wanted: clients.len() as u64,
            stalled: of_kind(ClientKind::Stalled),
            slow: of_kind(ClientKind::Slow),
            ..Clients::default()
        };
        Self {
            tally: Tally { clients: counts, ..Tally::default() },
            clients,
            comparison: Comparison::default(),
            samples: Vec::new(),
            next_sample: Sample::default(),
            wanted: 0,
            have_wanted: 0,
        }
    }

    /// A client is about to connect.
    pub(crate) fn attempt(&mut self, client: usize) {
        if let Some(state) = self.clients.get_mut(client) {
            state.requested = state.requested.or_else(|| Some(Instant::now()));
        }
    }

    /// The `Last-Event-ID` of a client that is about to send its request; empty for one without.
    /// That one starts again.
    pub(crate) fn last_id(&mut self, client: usize) -> &str {
        let Some(state) = self.clients.get_mut(client) else { return "" };
        if state.last_id.is_empty() {
            state.judge.restart(&mut self.comparison);
        } else {
            state.judge.resume();
        }
        if state.last_id.is_empty() || state.published_without_id {
            state.subscribed = None;
        }
        &state.last_id
    }

    pub(crate) fn has_streamed(&self, client: usize) -> bool {
        self.clients.get(client).is_some_and(|state| state.has_streamed)
    }

    pub(crate) fn retry(&self, client: usize) -> Option<Duration> {
        self.clients.get(client)?.retry
    }

    /// The head of a stream has come at `now`, in microseconds since the Unix epoch.
    pub(crate) fn stream_began(&mut self, client: usize, now: u64) {
        let Some(state) = self.clients.get_mut(client) else { return };
        state.subscribed = state.subscribed.or(Some(now + SUBSCRIBE_MICROS));
        state.first_subscribed = state.first_subscribed.or(state.subscribed);
        (state.has_failed, state.requested) = (false, None);
        self.tally.connections.opened += 1;
        let counts = &mut self.tally.clients;
        counts.connected_at_end += u64::from(!state.is_streaming);
        counts.streamed += u64::from(!state.has_streamed);
        (state.is_streaming, state.has_streamed) = (true, true);
    }

    /// A connection or attempt has ended. Returns whether there was a stream.
    pub(crate) fn stream_ended(&mut self, client: usize, end: &StreamEnd) -> bool {
        let Some(state) = self.clients.get_mut(client) else { return false };
        let had_stream = std::mem::take(&mut state.is_streaming);
        let connections = &mut self.tally.connections;
        if had_stream {
            self.tally.clients.connected_at_end -= 1;
            match end {
                StreamEnd::Planned => connections.closed_as_planned += 1,
                StreamEnd::Storm => connections.closed_by_storm += 1,
                StreamEnd::Server => connections.ended_by_server += 1,
                StreamEnd::Broken(_) => connections.broken += 1,
                _ => {}
            }
        }
        if let StreamEnd::Broken(_) | StreamEnd::NotConnected(_) | StreamEnd::Refused(_) = end {
            state.has_failed |= !had_stream;
        }
        let is_evicted = match end {
            StreamEnd::Server | StreamEnd::Evicted => true,
            StreamEnd::Broken(_) | StreamEnd::NotConnected(_) => had_stream,
            _ => false,
        };
        if is_evicted && !std::mem::replace(&mut state.was_evicted, true) {
            match state.kind {
                ClientKind::Stalled => self.tally.clients.stalled_evicted += 1,
                ClientKind::Slow => self.tally.clients.slow_evicted += 1,
                ClientKind::Reader => {}
            }
        }
        had_stream
    }

    /// The server has nothing more for this client.
    pub(crate) fn finished(&mut self, client: usize) {
        let Some(state) = self.clients.get_mut(client) else { return };
        state.is_finished = true;
        self.tally.clients.finished += 1;
    }

    /// A connection has failed; if that is final, its client gives up.
    pub(crate) fn failed(&mut self, client: usize, reason: String, is_final: bool) {
        let Some(state) = self.clients.get_mut(client) else { return };
        if is_final {
            state.has_given_up = true;
            *self.tally.clients.gave_up.entry(reason.clone()).or_default() += 1;
        }
        *self.tally.connections.failures.entry(reason).or_default() += 1;
    }

    /// Whether no client will get a stream.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.tally.clients.streamed == 0
            && self.clients.iter().take(FIRST_CLIENTS).all(|client| client.has_given_up)
    }

    /// Takes over what the stream has set for the next connection.
    pub(crate) fn set_resume(&mut self, client: usize, id: Option<&str>, retry: Option<Duration>) {
        let Some(state) = self.clients.get_mut(client) else { return };
        if let Some(id) = id.filter(|id| *id != state.last_id) {
            id.clone_into(&mut state.last_id);
        }
        state.retry = retry.or(state.retry);
    }

    /// An event has come at `now`, on a connection whose request was sent at `requested`; both in
    /// microseconds since the Unix epoch. `id` is the one that the event has set itself. Returns
    /// whether the last client has now received what somebody waits for.
    pub(crate) fn event(
        &mut self,
        client: usize,
        message: &Message,
        id: Option<&str>,
        fields: &Fields,
        requested: u64,
        now: u64,
    ) -> bool {
        let Some(state) = self.clients.get_mut(client) else { return false };
        if message.event() == STATUS_EVENT {
            if is_reset(message.data()) {
                self.tally.verdict.resets += 1;
                state.judge.restart(&mut self.comparison);
                state.subscribed = Some(now + SUBSCRIBE_MICROS);
            }
            return false;
        }
        if message.event() == END_EVENT {
            let reason = end_reason(message.data());
            // Its stream began, but that is no success.
            state.has_failed |= reason == "limited";
            *self.tally.connections.announced_ends.entry(reason).or_default() += 1;
            return false;
        }
        let read = fields.read(message.event(), message.data());
        state.judge.event(id, &read, &mut self.tally.verdict, &mut self.comparison);
        if read.is_published {
            state.newest_published = state.newest_published.max(read.number);
            state.published_without_id = id.is_none();
        }
        state.deliveries += 1;
        let counts = &mut self.tally.deliveries;
        counts.total += 1;
        self.next_sample.deliveries += 1;
        match read.at {
            None => counts.without_timestamp += 1,
            Some(at) if at < requested => counts.replayed += 1,
            // A slow client's own slowness is not the server's.
            Some(_) if state.kind != ClientKind::Reader => {}
            Some(at) => {
                counts.from_the_future += u64::from(at > now);
                let micros = now.saturating_sub(at);
                self.tally.latency.record(micros);
                self.next_sample.latency.record(micros);
            }
        }
        if state.deliveries != self.wanted {
            return false;
        }
        self.have_wanted += 1;
        self.have_wanted == self.clients.len()
    }

    /// Whether every client has received this many events.
    pub(crate) fn all_have(&mut self, deliveries: u64) -> bool {
        if self.wanted != deliveries {
            self.wanted = deliveries;
            let have = self.clients.iter().filter(|client| client.deliveries >= deliveries);
            self.have_wanted = have.count();
        }
        self.have_wanted == self.clients.len()
    }

    /// Ends the current sample.
    pub(crate) fn sample(&mut self) {
        let next = Sample { number: self.next_sample.number + 1, ..Sample::default() };
        let mut sample = std::mem::replace(&mut self.next_sample, next);
        sample.connected = self.tally.clients.connected_at_end;
        self.samples.push(sample);
    }

    /// Takes the samples since the last call.
    pub(crate) fn take_samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }

    /// What was measured so far.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        let open = self.clients.iter().flat_map(|client| client.judge.spans());
        tally.verdict.missed += self.comparison.missed(open);
        let count = |is_so: fn(&ClientState) -> bool| {
            self.clients.iter().filter(|client| is_so(client)).count() as u64
        };
        tally.clients.waiting = count(ClientState::is_waiting);
        tally.clients.unanswered = count(ClientState::is_unanswered);
        tally.clients.lost = count(ClientState::is_lost);
        tally.in_time = tally.deliveries.total;
        tally.received_published = count(|client| client.newest_published.is_some());
        tally
    }

    /// How many reading clients should have the last event that was published, and do not.
    pub(crate) fn behind(&self, last: LastEvent) -> u64 {
        let is_behind = |client: &&ClientState| {
            client.kind == ClientKind::Reader
                && client.is_streaming
                && client.subscribed.is_some_and(|since| since <= last.sent)
                && client.newest_published.is_none_or(|newest| newest < last.number)
        };
        self.clients.iter().filter(is_behind).count() as u64
    }

    /// How many reading clients had a stream before the last event was published.
    pub(crate) fn published_to(&self, last: LastEvent) -> u64 {
        let had_stream = |client: &&ClientState| {
            client.kind == ClientKind::Reader
                && client.first_subscribed.is_some_and(|since| since <= last.sent)
        };
        self.clients.iter().filter(had_stream).count() as u64
    }

    /// Forgets all counts and times, but not who is connected, nor what the judges know of each
    /// client: the next event must be the next one.
    pub(crate) fn restart(&mut self) {
        let mut clients = std::mem::take(&mut self.tally.clients);
        (clients.stalled_evicted, clients.slow_evicted) = (0, 0);
        self.tally = Tally { clients, ..Tally::default() };
        self.next_sample.deliveries = 0;
        self.next_sample.latency = Latency::default();
        self.comparison = Comparison::default();
        for client in &mut self.clients {
            client.deliveries = 0;
            client.judge.continue_in(&mut self.comparison);
        }
        (self.wanted, self.have_wanted) = (0, 0);
    }
}

/// Why a Tidings hub ends a stream, as its end event says.
fn end_reason(end: &str) -> String {
    #[derive(Deserialize)]
    struct End {
        reason: String,
    }

    serde_json::from_str(end).map_or_else(|_| "unknown".to_owned(), |read: End| read.reason)
}

/// Whether a status event of a Tidings hub announces a reset.
fn is_reset(status: &str) -> bool {
    #[derive(Deserialize)]
    struct Status<'a> {
        status: &'a str,
    }

    serde_json::from_str(status).is_ok_and(|read: Status<'_>| read.status == "reset")
}

#[cfg(test)]
mod tests {
    use tidings::Decoder;

    use super::*;

    const RESET: &str = "event: tidings:status\ndata: {\"status\":\"reset\"}\n\n";

    /// Clients whose streams began at 0.
    fn readers(clients: usize) -> Measures {
        let mut measures = Measures::new((0..clients).map(|_| ClientKind::Reader));
        for client in 0..clients {
            measures.last_id(client);
            measures.stream_began(client, 0);
        }
        measures
    }

    fn receive(measures: &mut Measures, client: usize, text: &str, now: u64) {
        let fields = Fields { published: Some("own".into()), ..Fields::default() };
        let mut decoder = Decoder::new();
        decoder.feed(text.as_bytes()).unwrap();
        while let Some(message) = decoder.next_message() {
            measures.event(client, &message, message.id(), &fields, 0, now);
        }
    }

    fn published(number: u64) -> String {
        format!("id: e-{number}\ndata: {{\"n\":{number},\"stream\":\"own\"}}\n\n")
    }

    #[test]
    fn a_client_without_the_last_event_is_behind_whatever_the_others_have() {
        let mut measures = readers(3);
        let last = LastEvent { number: 2, sent: 1_000_000 };
        assert_eq!((measures.behind(last), measures.tally().received_published), (3, 0));
        assert_eq!(measures.published_to(last), 3);
        receive(&mut measures, 0, &(published(1) + &published(2)), 1_000_000);
        receive(&mut measures, 1, &published(1), 1_000_000);
        receive(&mut measures, 2, "data: {\"n\":2,\"stream\":\"other\"}\n\n", 1_000_000);
        assert_eq!((measures.behind(last), measures.tally().received_published), (2, 2));
    }

    #[test]
    fn a_load_is_hopeless_when_its_first_clients_have_given_up() {
        let mut measures = Measures::new((0..100).map(|_| ClientKind::Reader));
        for client in (0..19).chain(20..50) {
            measures.failed(client, "the server answers 503".into(), true);
        }
        assert!(!measures.is_hopeless());
        measures.failed(19, "the server answers 503".into(), true);
        assert!(measures.is_hopeless());
        measures.stream_began(99, 0);
        assert!(!measures.is_hopeless());
    }

    #[test]
    fn a_client_that_comes_back_in_vain_has_lost_its_stream() {
        let mut measures = readers(2);
        measures.stream_ended(0, &StreamEnd::Broken("cut".into()));
        assert_eq!(measures.tally().clients.lost, 0);
        measures.stream_ended(0, &StreamEnd::NotConnected("refused".into()));
        assert_eq!(measures.tally().clients.lost, 1);
        measures.stream_began(0, 0);
        assert_eq!(measures.tally().clients.lost, 0);
        let limited = "event: tidings:end\ndata: {\"reason\":\"limited\"}\n\n";
        receive(&mut measures, 0, limited, 0);
        measures.stream_ended(0, &StreamEnd::Server);
        assert_eq!(measures.tally().clients.lost, 1);
    }

    #[test]
    fn a_client_that_has_not_tried_for_long_waits_for_nothing() {
        let waiting = |measures: &Measures| {
            let clients = measures.tally().clients;
            (clients.waiting, clients.unanswered, clients.lost)
        };
        let tries_for = |measures: &mut Measures, client: usize, time: Duration| {
            measures.clients[client].requested = Instant::now().checked_sub(time);
        };
        let mut measures = Measures::new((0..3).map(|_| ClientKind::Reader));
        measures.attempt(0);
        measures.attempt(1);
        assert_eq!(waiting(&measures), (0, 0, 0));
        measures.stream_ended(0, &StreamEnd::NotConnected("refused".into()));
        assert_eq!(waiting(&measures), (1, 0, 0));
        tries_for(&mut measures, 1, MOMENT * 2);
        assert_eq!(waiting(&measures), (2, 0, 0));
        measures.stream_began(0, 0);
        measures.stream_began(1, 0);
        // One comes back.
        measures.stream_ended(0, &StreamEnd::Storm);
        measures.attempt(0);
        assert_eq!(waiting(&measures), (0, 0, 0));
        tries_for(&mut measures, 0, MOMENT * 2);
        assert_eq!(waiting(&measures), (0, 1, 0));
        tries_for(&mut measures, 0, PATIENCE * 2);
        assert_eq!(waiting(&measures), (0, 0, 1));
    }

    #[test]
    fn only_a_client_that_must_have_the_last_event_is_behind_without_it() {
        let last = LastEvent { number: 2, sent: 1_000_000 };
        // It does not stream.
        let mut measures = readers(1);
        measures.stream_ended(0, &StreamEnd::Planned);
        assert_eq!((measures.behind(last), measures.published_to(last)), (0, 1));
        assert_eq!(measures.published_to(LastEvent { number: 1, sent: 0 }), 0);
        // It has come back without an id, too late; with one, it should be sent what it has missed.
        for (id, behind) in [(None, 0), (Some("e-1"), 1)] {
            let mut measures = readers(1);
            measures.set_resume(0, id, None);
            measures.stream_ended(0, &StreamEnd::Planned);
            measures.last_id(0);
            measures.stream_began(0, 2_000_000);
            assert_eq!(measures.behind(last), behind, "{id:?}");
        }
        // The server has announced a gap.
        let mut measures = readers(1);
        receive(&mut measures, 0, RESET, 2_000_000);
        assert_eq!(measures.behind(last), 0);
        // It had the event on its previous stream.
        let mut measures = readers(1);
        receive(&mut measures, 0, &published(2), 1_000_000);
        measures.set_resume(0, Some("e-2"), None);
        measures.stream_ended(0, &StreamEnd::Storm);
        measures.last_id(0);
        measures.stream_began(0, 1_000_000);
        assert_eq!(measures.behind(last), 0);
        // What it had came without an id, so the server cannot know what it has missed.
        let mut measures = readers(1);
        receive(&mut measures, 0, "data: {\"n\":1,\"stream\":\"own\"}\n\n", 500_000);
        measures.set_resume(0, Some("e-0"), None);
        measures.stream_ended(0, &StreamEnd::Storm);
        measures.last_id(0);
        measures.stream_began(0, 2_000_000);
        assert_eq!(measures.behind(last), 0);
    }
}
