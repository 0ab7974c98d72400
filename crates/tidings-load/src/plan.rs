use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Fields, LoadError, Target};

/// What a fleet of clients does.
///
/// ```
/// use std::time::Duration;
/// use tidings_load::{Plan, Target};
///
/// let target = Target::parse("http://127.0.0.1:3000/events?topic=load")?;
/// let plan = Plan::new(target, 500).ramp(Duration::from_secs(2)).stalled(0.05);
/// # Ok::<(), tidings_load::LoadError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Plan {
    pub(crate) target: Target,
    pub(crate) clients: usize,
    /// The number of this process's first client.
    pub(crate) first: usize,
    pub(crate) ramp: Duration,
    pub(crate) reconnect_every: Option<Duration>,
    pub(crate) storm: Option<Duration>,
    pub(crate) stalled: f64,
    pub(crate) slow: f64,
    pub(crate) slow_rate: u64,
    pub(crate) retry: Duration,
    /// How many clients share a connection of HTTP/2.
    pub(crate) http2: Option<usize>,
    pub(crate) fields: Fields,
    /// How many source addresses the clients use; 0 for as many as necessary.
    pub(crate) sources: usize,
    pub(crate) sample_every: Duration,
}

/// Connections of one source address to one server. Systems have about 28,000 ports for them, some
/// of which belong to closed connections.
const PER_SOURCE: usize = 20_000;

/// How long the port of a closed connection cannot be used again.
const TIME_WAIT: Duration = Duration::from_secs(60);

impl Plan {
    /// This number of clients of a target, with defaults for the rest.
    pub fn new(target: Target, clients: usize) -> Self {
        Self {
            target,
            clients,
            first: 0,
            ramp: Duration::ZERO,
            reconnect_every: None,
            storm: None,
            stalled: 0.0,
            slow: 0.0,
            slow_rate: 1024,
            retry: Duration::from_secs(3),
            http2: None,
            fields: Fields::default(),
            sources: 0,
            sample_every: Duration::from_millis(250),
        }
    }

    /// The time over which the clients connect, evenly. Default zero: all at once.
    pub fn ramp(mut self, ramp: Duration) -> Self {
        self.ramp = ramp;
        self
    }

    /// How long each client keeps its stream until it closes it and resumes at once. The first
    /// reconnects are spread evenly over this time. Default: until the end.
    pub fn reconnect_every(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.reconnect_every = interval.into();
        self
    }

    /// The interval at which all clients close their connections and resume at the same time.
    /// Default: never.
    pub fn storm(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.storm = interval.into();
        self
    }

    /// The part of the clients, between 0 and 1, that read the head of the response and then stop
    /// reading. Default 0.
    pub fn stalled(mut self, part: f64) -> Self {
        self.stalled = part;
        self
    }

    /// The part of the clients, between 0 and 1, that read no more than `bytes_per_second`. Default
    /// 0, at 1 KiB a second.
    pub fn slow(mut self, part: f64, bytes_per_second: u64) -> Self {
        (self.slow, self.slow_rate) = (part, bytes_per_second);
        self
    }

    /// How long a client waits before it reconnects after the server has ended its stream, unless
    /// the stream has set a delay. Default 3 seconds.
    pub fn retry(mut self, delay: Duration) -> Self {
        self.retry = delay;
        self
    }

    /// Speaks HTTP/2 without TLS or upgrade, which the server must expect, with this number of
    /// clients on each connection. It must not exceed what the server allows, or the other clients
    /// would wait. Default `None`: HTTP/1.1.
    pub fn http2(mut self, streams_per_connection: impl Into<Option<usize>>) -> Self {
        self.http2 = streams_per_connection.into();
        self
    }

    /// Which fields of the events' data are read.
    pub fn fields(mut self, fields: Fields) -> Self {
        self.fields = fields;
        self
    }

    /// How many source addresses the clients use, from 127.0.0.2 on. It has an effect only on Linux,
    /// if the target is a loopback address of IPv4. Default 0: as many as necessary.
    pub fn sources(mut self, sources: usize) -> Self {
        self.sources = sources;
        self
    }

    /// The interval of the samples for the plots over time. Default 250 ms.
    pub(crate) fn sample_every(mut self, interval: Duration) -> Self {
        self.sample_every = interval;
        self
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let is_part = |part| (0.0..=1.0).contains(&part);
        let is_zero = |interval: Option<Duration>| interval.is_some_and(|it| it.is_zero());
        LoadError::refuse_if([
            (self.clients == 0, "clients: must be at least 1"),
            (!is_part(self.stalled), "stalled: must be between 0% and 100%"),
            (!is_part(self.slow), "slow: must be between 0% and 100%"),
            (self.stalled + self.slow > 1.0, "stalled and slow: must not exceed 100% together"),
            (self.slow_rate == 0, "slow-rate: must be at least 1 byte a second"),
            (self.http2 == Some(0), "streams-per-connection: must be at least 1"),
            (is_zero(self.reconnect_every), "reconnect-every: must be greater than 0"),
            (is_zero(self.storm), "storm: must be greater than 0"),
        ])
    }

    /// How many connections the clients have.
    pub(crate) fn sockets(&self) -> usize {
        self.clients.div_ceil(self.http2.unwrap_or(1).max(1))
    }

    /// The part of a plan that one of several processes carries out.
    pub(crate) fn share(&self, process: usize, processes: usize) -> Self {
        let begin = self.clients * process / processes;
        let end = self.clients * (process + 1) / processes;
        Self { clients: end - begin, first: self.first + begin, ..self.clone() }
    }

    /// Decides how many source addresses the clients of all processes use.
    pub(crate) fn with_sources_for(mut self, server: SocketAddr) -> Self {
        let spreads = cfg!(target_os = "linux") && server.is_ipv4() && server.ip().is_loopback();
        if !spreads {
            self.sources = 1;
        } else if self.sources == 0 {
            let intervals = [self.storm, self.reconnect_every];
            let waiting = intervals.into_iter().flatten().map(|interval| {
                (TIME_WAIT.as_secs_f64() / interval.as_secs_f64()).clamp(1.0, 30.0) as usize
            });
            let ports = self.sockets() * (1 + waiting.sum::<usize>());
            self.sources = ports.div_ceil(PER_SOURCE).min(50_000);
        }
        self
    }

    /// The source address of a client; `None` leaves it to the system.
    pub(crate) fn source(&self, client: usize) -> Option<IpAddr> {
        if self.sources < 2 {
            return None;
        }
        let number = 2 + (self.first + client) % self.sources;
        let [.., high, low] = u32::try_from(number).ok()?.to_be_bytes();
        Some(Ipv4Addr::new(127, 0, high, low).into())
    }

    pub(crate) fn kind(&self, client: usize) -> ClientKind {
        let client = self.first + client;
        // Evenly among all clients: the number of such clients grows by one here.
        let grows =
            |part: f64, at: usize| ((at + 1) as f64 * part).floor() > (at as f64 * part).floor();
        if grows(self.stalled, client) {
            return ClientKind::Stalled;
        }
        let stalled_before = (client as f64 * self.stalled).floor() as usize;
        let rest = 1.0 - self.stalled;
        let of_rest = if rest > 0.0 { (self.slow / rest).min(1.0) } else { 0.0 };
        if grows(of_rest, client - stalled_before) { ClientKind::Slow } else { ClientKind::Reader }
    }
}

/// How a client reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// As fast as it can.
    #[default]
    Reader,
    Slow,
    /// Never.
    Stalled,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(clients: usize) -> Plan {
        Plan::new(Target::parse("http://127.0.0.1:3000/").unwrap(), clients)
    }

    #[test]
    fn the_shares_of_processes_have_each_client_once() {
        let plan = plan(10);
        let shares: Vec<_> = (0..3).map(|process| plan.share(process, 3)).collect();
        let clients = shares.iter().flat_map(|share| share.first..share.first + share.clients);
        assert_eq!(clients.collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn the_numbers_of_slow_and_stalled_clients_are_exact() {
        let plan = plan(1000).stalled(0.05).slow(0.1, 1);
        let count = |kind| (0..1000).filter(|client| plan.kind(*client) == kind).count();
        assert_eq!((count(ClientKind::Stalled), count(ClientKind::Slow)), (50, 100));
        let all = plan.stalled(1.0).slow(0.0, 1);
        assert_eq!(all.kind(17), ClientKind::Stalled);
    }

    #[test]
    fn more_clients_than_ports_are_spread_over_sources() {
        let server = "127.0.0.1:3000".parse().unwrap();
        assert_eq!(plan(20_000).with_sources_for(server).source(0), None);
        if cfg!(target_os = "linux") {
            let spread = plan(50_000).with_sources_for(server);
            assert_eq!(spread.source(0), Some(Ipv4Addr::new(127, 0, 0, 2).into()));
            assert_eq!(spread.source(2), Some(Ipv4Addr::new(127, 0, 0, 4).into()));
            assert_eq!(spread.source(3), Some(Ipv4Addr::new(127, 0, 0, 2).into()));
            let storm = plan(10_000).storm(Duration::from_secs(10)).with_sources_for(server);
            assert_eq!(storm.sources, 4);
        }
        let elsewhere = "192.0.2.1:80".parse().unwrap();
        assert_eq!(plan(50_000).with_sources_for(elsewhere).source(0), None);
    }

    #[test]
    fn a_bad_plan_is_refused_by_the_name_of_its_option() {
        let refusal = |plan: Plan| plan.check().unwrap_err().to_string();
        assert_eq!(refusal(plan(0)), "clients: must be at least 1");
        assert_eq!(refusal(plan(1).stalled(1.5)), "stalled: must be between 0% and 100%");
        assert_eq!(refusal(plan(1).slow(f64::NAN, 1)), "slow: must be between 0% and 100%");
        let both = plan(1).stalled(0.6).slow(0.6, 1);
        assert_eq!(refusal(both), "stalled and slow: must not exceed 100% together");
    }
}
