use std::fmt::{self, Write};

use crate::health::{Health, Link};

/// The figures of one hub when this was made: see [`Hub::metrics`](crate::Hub::metrics). In a cluster, these are the
/// figures of one node.
///
/// Plain data: [`to_prometheus`](Self::to_prometheus) writes it for Prometheus, and the example
/// [`metrics-otel`](https://github.com/tidings-rs/tidings/tree/main/examples/metrics-otel) feeds OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Open streams.
    pub clients: usize,
    /// Topics that have subscribers or retained events.
    pub topics: usize,
    /// Memory that events take, in bytes.
    pub retained_bytes: usize,
    /// Memory that readers hold and topics do not, in bytes: see [`HubBuilder::pinned_limit`](crate::HubBuilder::pinned_limit).
    pub pinned_bytes: usize,
    /// Events that became visible here, from any node, ephemeral ones included.
    pub events: u64,
    /// Publications by this node that were acknowledged; on a [log](crate::backend), those whose outcome was awaited.
    pub published: u64,
    /// Publications by this node that were refused or failed; on a [log](crate::backend), failures of which the outcome was awaited.
    pub refused: u64,
    /// Streams that began fresh.
    pub fresh: u64,
    /// Streams that were resumed.
    pub resumed: u64,
    /// Resets because events had expired.
    pub resets_expired: u64,
    /// Resets because events were trimmed.
    pub resets_trimmed: u64,
    /// Resets because the id was not of this history.
    pub resets_unknown: u64,
    /// Pages that were read back from the hub's log.
    pub log_reads: u64,
    /// Streams that were ended because too much memory was pinned.
    pub streams_cut: u64,
    /// Calls of the application that make snapshots. Streams may share one: see
    /// [`Subscribe::shared_snapshot`](crate::Subscribe::shared_snapshot).
    pub snapshots: u64,
    /// Snapshots that streams waited for and the application did not make, those that were not made in time included.
    pub snapshots_failed: u64,
    /// Snapshots that the application did not make in time.
    pub snapshots_timed_out: u64,
    /// Streams that were ended because their clients could not be told of a reset: see
    /// [`Subscribe::status`](crate::Subscribe::status).
    pub streams_untold: u64,
    /// Subscriptions that were refused.
    pub subscriptions_refused: u64,
    /// Connections that a server refused: because of a limit, because no file was left, or because a proxy's did not begin
    /// with a header of the PROXY protocol.
    pub connections_refused: u64,
    /// Connections that waited for a request, their first or their next, and were ended to make room for others.
    pub connections_evicted: u64,
    /// Connections that were ended by a limit on their time.
    pub connections_timed_out: u64,
    /// Connections that were ended because their clients have sent more than they may: see
    /// [`ServerEvent::ConnectionFlooded`](crate::ServerEvent::ConnectionFlooded).
    pub connections_flooded: u64,
    /// Streams of HTTP/2 that were reset because their clients took nothing of what they had to send.
    pub streams_stalled: u64,
    /// Writer threads that failed and were started again.
    pub writer_restarts: u64,
    /// Streams whose clients' rights had expired.
    pub ended_expired: u64,
    /// Streams whose clients' rights were revoked.
    pub ended_revoked: u64,
    /// Streams that were too many, most of them turned away when they were opened.
    pub ended_limited: u64,
    /// Streams in whose place a newer one came.
    pub ended_superseded: u64,
    /// Streams that were ended or turned away because their server was about to stop.
    pub ended_drained: u64,
    /// Streams whose topics were finished.
    pub ended_finished: u64,
    /// Streams that were open for as long as one may be.
    pub ended_lifetime: u64,
    /// Publications that were refused because their [source](crate::Hub::source) had published too much; `refused` has them, too.
    pub publications_limited: u64,
    /// Checks of a client's right that have failed, those that were not made in time included: see
    /// [`Subscribe::revalidate`](crate::Subscribe::revalidate).
    pub checks_failed: u64,
    /// Subscriptions that were not opened, because their topics were finished and their clients had the last events.
    pub subscriptions_finished: u64,
    /// Principals that are present on a topic by streams of this node, once for each topic: see [`presence`](crate::presence).
    pub present: usize,
    /// Entries of other nodes, or of an earlier start of this one, that this node has taken away because that one could not.
    pub presence_removed: u64,
    /// The state of the hub.
    pub health: Health,
}

impl Metrics {
    /// The media type of [`to_prometheus`](Self::to_prometheus).
    pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// The figures in the text format of Prometheus, to be served as
    /// [`PROMETHEUS_CONTENT_TYPE`](Self::PROMETHEUS_CONTENT_TYPE).
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        // A string takes everything.
        let _ = self.write_prometheus(&mut text);
        text
    }

    fn write_prometheus(&self, f: &mut String) -> fmt::Result {
        let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, f64)]| {
            writeln!(f, "# HELP tidings_{name} {help}\n# TYPE tidings_{name} {kind}")?;
            values.iter().try_for_each(|(labels, value)| {
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                writeln!(f, "tidings_{name}{labels} {value}")
            })
        };
        let health = &self.health;
        metric("clients", "gauge", "Open streams.", &[("", self.clients as f64)])?;
        let help = "Topics that have subscribers or retained events.";
        metric("topics", "gauge", help, &[("", self.topics as f64)])?;
        let help = "Memory that events take.";
        metric("retained_bytes", "gauge", help, &[("", self.retained_bytes as f64)])?;
        let help = "Memory that readers hold and topics do not.";
        metric("pinned_bytes", "gauge", help, &[("", self.pinned_bytes as f64)])?;
        let help = "Events that became visible on this node.";
        metric("events_total", "counter", help, &[("", self.events as f64)])?;
        let published =
            [("outcome=\"ok\"", self.published as f64), ("outcome=\"error\"", self.refused as f64)];
        metric("publications_total", "counter", "Publications by this node.", &published)?;
        let streams = [
            ("status=\"fresh\"", self.fresh as f64),
            ("status=\"resumed\"", self.resumed as f64),
            ("status=\"reset\",reason=\"expired\"", self.resets_expired as f64),
            ("status=\"reset\",reason=\"trimmed\"", self.resets_trimmed as f64),
            ("status=\"reset\",reason=\"unknown\"", self.resets_unknown as f64),
        ];
        metric("streams_total", "counter", "Streams by the status that they were sent.", &streams)?;
        let help = "Streams that were ended because too much memory was pinned.";
        metric("streams_cut_total", "counter", help, &[("", self.streams_cut as f64)])?;
        let help = "Streams that were ended because their clients could not be told of a reset.";
        metric("streams_untold_total", "counter", help, &[("", self.streams_untold as f64)])?;
        let refused = [("", self.subscriptions_refused as f64)];
        metric("subscriptions_refused_total", "counter", "Subscriptions refused.", &refused)?;
        let help = "Calls of the application that make snapshots.";
        metric("snapshots_total", "counter", help, &[("", self.snapshots as f64)])?;
        let help = "Snapshots that the application did not make.";
        metric("snapshots_failed_total", "counter", help, &[("", self.snapshots_failed as f64)])?;
        let help = "Snapshots that the application did not make in time.";
        let timed_out = self.snapshots_timed_out as f64;
        metric("snapshots_timed_out_total", "counter", help, &[("", timed_out)])?;
        let connections = [
            ("reason=\"refused\"", self.connections_refused as f64),
            ("reason=\"evicted\"", self.connections_evicted as f64),
            ("reason=\"timeout\"", self.connections_timed_out as f64),
            ("reason=\"flood\"", self.connections_flooded as f64),
        ];
        let help = "Connections that the server did not take, or ended by a limit.";
        metric("connections_ended_total", "counter", help, &connections)?;
        let help = "Streams of HTTP/2 that were reset because their clients took nothing.";
        metric("streams_stalled_total", "counter", help, &[("", self.streams_stalled as f64)])?;
        let help = "Writer threads that failed and were started again.";
        metric("writer_restarts_total", "counter", help, &[("", self.writer_restarts as f64)])?;
        let ended = [
            ("reason=\"expired\"", self.ended_expired as f64),
            ("reason=\"revoked\"", self.ended_revoked as f64),
            ("reason=\"limited\"", self.ended_limited as f64),
            ("reason=\"superseded\"", self.ended_superseded as f64),
            ("reason=\"drained\"", self.ended_drained as f64),
            ("reason=\"finished\"", self.ended_finished as f64),
            ("reason=\"lifetime\"", self.ended_lifetime as f64),
        ];
        let help = "Streams that were ended with a last event, by its reason.";
        metric("streams_ended_total", "counter", help, &ended)?;
        let help = "Publications refused because their source had published too much.";
        let limited = [("", self.publications_limited as f64)];
        metric("publications_limited_total", "counter", help, &limited)?;
        let help = "Checks of a client's right that have failed.";
        metric("checks_failed_total", "counter", help, &[("", self.checks_failed as f64)])?;
        let help = "Subscriptions that were not opened: their topics were finished, and their clients had the last events.";
        let finished = self.subscriptions_finished as f64;
        metric("subscriptions_finished_total", "counter", help, &[("", finished)])?;
        let help = "Principals that are present on a topic by streams of this node.";
        metric("present", "gauge", help, &[("", self.present as f64)])?;
        let help = "Presence entries that were taken away for a node that could not.";
        let removed = self.presence_removed as f64;
        metric("presence_removed_total", "counter", help, &[("", removed)])?;
        let ready = f64::from(u8::from(health.is_ready()));
        metric("ready", "gauge", "Whether new clients should come here.", &[("", ready)])?;
        if health.link == Link::None {
            return Ok(());
        }
        let up = f64::from(u8::from(health.link == Link::Up));
        metric("log_up", "gauge", "Whether the hub's log answers.", &[("", up)])?;
        if let Some(lag) = health.lag {
            let help = "Time since the hub last had everything that its log has.";
            metric("log_lag_seconds", "gauge", help, &[("", lag.as_secs_f64())])?;
        }
        let help = "Pages read back from the hub's log.";
        metric("log_reads_total", "counter", help, &[("", self.log_reads as f64)])?;
        let help = "Entries of the log that are not events.";
        metric("log_rejected_total", "counter", help, &[("", health.rejected as f64)])
    }
}
