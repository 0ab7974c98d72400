use std::time::{SystemTime, UNIX_EPOCH};

use crate::Fields;
use crate::comparison::Comparison;
use crate::events::Block;
use crate::judge::Judge;
use crate::latency::Latency;
use crate::plan::Kind;
use crate::reading;
use crate::tally::{Sample, Tally};

/// The event with which a Tidings hub says how the client stands.
const STATUS_EVENT: &[u8] = b"tidings:status";

/// Microseconds since the Unix epoch.
pub(crate) fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What is known of one client. All its connections together.
#[derive(Debug)]
pub(crate) struct ClientState {
    pub(crate) kind: Kind,
    pub(crate) judge: Judge,
    /// What it would send as `Last-Event-ID`.
    pub(crate) last_id: Vec<u8>,
    /// Milliseconds, as the stream said.
    pub(crate) retry: Option<u64>,
    pub(crate) deliveries: u64,
    pub(crate) streaming: bool,
    pub(crate) has_streamed: bool,
    pub(crate) was_let_go: bool,
}

/// Everything that the clients of one fleet measure, behind one lock that each read takes once.
/// All clients run on one thread, so it is hardly ever waited for.
#[derive(Debug)]
pub(crate) struct Measures {
    pub(crate) clients: Vec<ClientState>,
    pub(crate) tally: Tally,
    comparison: Comparison,
    samples: Vec<Sample>,
    next_sample: Sample,
    /// How many deliveries somebody waits for, and how many clients have them.
    wanted: u64,
    have_wanted: usize,
}

impl Measures {
    pub(crate) fn new(kinds: impl Iterator<Item = Kind>) -> Self {
        let client = |kind| ClientState {
            kind,
            judge: Judge::default(),
            last_id: Vec::new(),
            retry: None,
            deliveries: 0,
            streaming: false,
            has_streamed: false,
            was_let_go: false,
        };
        let clients: Vec<_> = kinds.map(client).collect();
        let of_kind = |kind| clients.iter().filter(|client| client.kind == kind).count() as u64;
        let tally = Tally {
            stalled: of_kind(Kind::Stalled),
            slow: of_kind(Kind::Slow),
            ..Tally::default()
        };
        Self {
            clients,
            tally,
            comparison: Comparison::default(),
            samples: Vec::new(),
            next_sample: Sample::default(),
            wanted: 0,
            have_wanted: 0,
        }
    }

    /// A client is about to connect: its `Last-Event-ID`. Without one it begins anew.
    pub(crate) fn connects(&mut self, client: usize) -> Vec<u8> {
        let Some(state) = self.clients.get_mut(client) else { return Vec::new() };
        if state.last_id.is_empty() {
            state.judge.restart(&mut self.comparison);
        }
        state.last_id.clone()
    }

    /// The head of a stream has come.
    pub(crate) fn stream_began(&mut self, client: usize) {
        let Some(state) = self.clients.get_mut(client) else { return };
        self.tally.opened += 1;
        if !state.streaming {
            state.streaming = true;
            self.tally.connected += 1;
        }
        if !state.has_streamed {
            state.has_streamed = true;
            self.tally.streamed += 1;
        }
    }

    /// The stream has ended. Whether there was one.
    pub(crate) fn stream_ended(&mut self, client: usize) -> bool {
        let Some(state) = self.clients.get_mut(client) else { return false };
        if !state.streaming {
            return false;
        }
        state.streaming = false;
        self.tally.connected -= 1;
        true
    }

    /// The server has ended the stream of a client that does not read as it should.
    pub(crate) fn let_go(&mut self, client: usize) {
        let Some(state) = self.clients.get_mut(client) else { return };
        if std::mem::replace(&mut state.was_let_go, true) {
            return;
        }
        match state.kind {
            Kind::Stalled => self.tally.stalled_let_go += 1,
            Kind::Slow => self.tally.slow_let_go += 1,
            Kind::Reader => {}
        }
    }

    /// A block has come at `now`, on a connection whose request was sent at `asked`; both in
    /// microseconds since the Unix epoch. True if it makes a condition come true that somebody
    /// waits for.
    pub(crate) fn block(
        &mut self,
        client: usize,
        block: &Block<'_>,
        fields: &Fields,
        asked: u64,
        now: u64,
    ) -> bool {
        let Some(state) = self.clients.get_mut(client) else { return false };
        if let Some(id) = block.id {
            state.last_id.clear();
            state.last_id.extend_from_slice(id);
        }
        state.retry = block.retry.or(state.retry);
        let Some(data) = &block.data else { return false };
        if block.name == STATUS_EVENT {
            if reading::member(data, "status") == Some(b"reset") {
                self.tally.verdict.resets += 1;
                state.judge.restart(&mut self.comparison);
            }
            return false;
        }
        let read = fields.read(block.name, data);
        state.judge.event(block.id, &read, &mut self.tally.verdict, &mut self.comparison);
        state.deliveries += 1;
        self.tally.deliveries += 1;
        self.next_sample.deliveries += 1;
        match read.at {
            None => self.tally.untimed += 1,
            Some(at) if at < asked => self.tally.replayed += 1,
            // A slow reader's own slowness is not the server's.
            Some(_) if state.kind != Kind::Reader => {}
            Some(at) => {
                self.tally.early += u64::from(at > now);
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

    /// Whether every client has received so many events.
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
        sample.connected = self.tally.connected;
        self.samples.push(sample);
    }

    /// The samples that were not taken yet.
    pub(crate) fn take_samples(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.samples)
    }

    /// What was measured so far.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        let open = self.clients.iter().filter_map(|client| client.judge.span());
        tally.verdict.missed += self.comparison.missed(open);
        tally.behind = self.behind();
        tally
    }

    /// How many reading clients have not the newest number of a stream.
    pub(crate) fn behind(&self) -> u64 {
        let readers =
            || self.clients.iter().filter(|client| client.kind == Kind::Reader && client.streaming);
        let mut newest = std::collections::HashMap::new();
        for (stream, number) in readers().flat_map(|client| client.judge.newest()) {
            let most = newest.entry(stream).or_insert(number);
            *most = number.max(*most);
        }
        let is_behind = |(stream, number)| newest.get(&stream).is_some_and(|most| number < *most);
        readers().filter(|client| client.judge.newest().any(is_behind)).count() as u64
    }

    /// Measures from here on: all that was counted is forgotten, but not who is connected, nor
    /// what the judges know of each client, so that the next event must be the next one.
    pub(crate) fn restart(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        self.tally = Tally {
            connected: tally.connected,
            streamed: tally.streamed,
            stalled: tally.stalled,
            slow: tally.slow,
            gave_up: tally.gave_up,
            ..Tally::default()
        };
        self.next_sample.deliveries = 0;
        self.next_sample.latency = Latency::new();
        for client in &mut self.clients {
            client.deliveries = 0;
        }
        (self.wanted, self.have_wanted) = (0, 0);
    }
}
