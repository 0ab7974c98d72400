//! How a subscription begins, as a table: what the client asks for and what the hub has, to what it is sent first and
//! the position from which it goes on in memory.

use std::sync::Arc;
use std::time::Duration;

use super::beginning::{Beginning, Claim, First, LogStart, Request, View, Whole};
use super::history::History;
use crate::backend::Reach;
use crate::epoch::Epoch;
use crate::hub::journal::Head;
use crate::hub::journal::source::ReplicaHistory;
use crate::hub::journal::topics::Past;
use crate::log::TopicLog;
use crate::log::coverage::{Coverage, LowWatermark};
use crate::log::frame::Frame;
use crate::log::reset_reason::ResetReason::{Trimmed, Unknown};
use crate::log::retention::{Retention, RetentionRules};
use crate::pinned::Pinned;
use crate::status::Status::{Fresh, Reset, Resumed};
use crate::topic::TopicPattern;

/// A hub at position 5 whose only topic has events 3 to 5.
#[derive(Debug, Clone, Copy)]
enum HubKind {
    InMemory,
    /// On a log that ends at this position.
    Replica(u64),
    /// The same, on a log that delivers the topic because the hub is interested in it.
    Selective(u64),
    /// The same, but the log does not deliver the topic yet; this node has published event 9.
    NotFollowed(u64),
}

fn beginning(hub: HubKind, request: &Request) -> Beginning {
    let low = LowWatermark { offset: 2, position: 2, reason: Trimmed };
    let coverage = match hub {
        HubKind::NotFollowed(_) => Coverage::NotFollowed,
        _ => Coverage::Since(low),
    };
    let log = TopicLog::new(
        1,
        TopicPattern::new("a").unwrap(),
        Arc::new(Retention::default()),
        coverage,
        false,
    );
    if coverage.is_followed() {
        for offset in 3..=5 {
            let bytes = b"data: x\n\n".to_vec();
            let frame =
                Frame::new(offset, Some(offset), 1_000 * offset, bytes, None, &Pinned::new(0));
            drop(log.append(&mut log.lock(), frame));
        }
    }
    let replica =
        |end, is_selective| Some(ReplicaHistory { began: 0, end, acknowledged: 9, is_selective });
    let replica = match hub {
        HubKind::InMemory => None,
        HubKind::Replica(end) => replica(end, false),
        HubKind::Selective(end) | HubKind::NotFollowed(end) => replica(end, true),
    };
    let head = Head { offset: 5, position: 5, epoch: Epoch::random(), replica };
    let logs = [Arc::new(log)];
    let rules = RetentionRules::default();
    let past = Past::of(&logs);
    let view = View { head: &head, logs: &logs, past, rules: &rules, now: 5_500, newest: None };
    Beginning::of(request, &view)
}

#[test]
fn a_beginning_follows_from_the_request_and_what_the_hub_has() {
    use Claim::Position;
    use History::{All, Last, Within};
    use HubKind::{InMemory, NotFollowed, Replica, Selective};

    const NOTHING: Claim = Claim::None;
    const LIVE: History = History::None;
    const ALL_RETAINED: First = log_newest(1_000, 600_000, Whole::All);
    let status = First::Status;
    let second = Duration::from_secs(1);
    for (hub, claim, history, has_snapshot, expected) in [
        (InMemory, NOTHING, LIVE, false, (Fresh, status, 5)),
        (InMemory, NOTHING, LIVE, true, (Fresh, First::Snapshot, 5)),
        (InMemory, NOTHING, All, false, (Fresh, status, 2)),
        (InMemory, NOTHING, All, true, (Fresh, status, 2)),
        (InMemory, NOTHING, Last(1), false, (Fresh, status, 4)),
        (InMemory, NOTHING, Last(0), false, (Fresh, status, 5)),
        (InMemory, NOTHING, Within(2 * second), false, (Fresh, status, 3)),
        (InMemory, Position(5), All, false, (Resumed, status, 5)),
        (InMemory, Position(2), LIVE, true, (Resumed, status, 2)),
        (InMemory, Position(1), LIVE, false, (Reset(Trimmed), status, 2)),
        (InMemory, Position(1), LIVE, true, (Reset(Trimmed), First::Snapshot, 5)),
        (InMemory, Position(6), LIVE, false, (Reset(Unknown), status, 2)),
        (InMemory, Claim::Unknown, LIVE, false, (Reset(Unknown), status, 2)),
        // A replica that has everything answers from memory what memory can answer.
        (Replica(5), NOTHING, LIVE, false, (Fresh, status, 5)),
        (Replica(5), NOTHING, All, false, (Fresh, status, 2)),
        (Replica(5), Position(3), LIVE, false, (Resumed, status, 3)),
        (Replica(5), Claim::Unknown, LIVE, false, (Reset(Unknown), status, 2)),
        // It asks the log for what is before its memory, and whether there is anything after its head.
        (Replica(5), Position(1), LIVE, false, (Resumed, log_after_claim(1), 5)),
        (Replica(5), Position(7), LIVE, true, (Resumed, log_after_claim(7), 5)),
        // One that lags has history still to come.
        (Replica(8), NOTHING, LIVE, false, (Fresh, First::Log(LogStart::After(8)), 5)),
        (Replica(8), NOTHING, LIVE, true, (Fresh, First::Snapshot, 5)),
        (Replica(8), NOTHING, All, false, (Fresh, ALL_RETAINED, 5)),
        (Replica(8), Position(4), LIVE, false, (Resumed, status, 4)),
        // A selective log has the history; memory has what came since the first subscriber.
        (Selective(5), NOTHING, LIVE, false, (Fresh, status, 5)),
        (Selective(5), NOTHING, All, false, (Fresh, ALL_RETAINED, 5)),
        (Selective(5), NOTHING, Last(3), false, (Fresh, log_newest(3, 600_000, Whole::Count), 5)),
        (
            Selective(5),
            NOTHING,
            Within(second),
            false,
            (Fresh, log_newest(1_000, 1_000, Whole::Time), 5),
        ),
        (Selective(5), Position(3), LIVE, false, (Resumed, status, 3)),
        (Selective(5), Claim::Unknown, LIVE, false, (Reset(Unknown), ALL_RETAINED, 5)),
        (Selective(5), Claim::Unknown, LIVE, true, (Reset(Unknown), First::Snapshot, 5)),
        (NotFollowed(5), NOTHING, LIVE, false, (Fresh, First::Log(LogStart::After(9)), 5)),
        (NotFollowed(5), NOTHING, LIVE, true, (Fresh, First::Snapshot, 5)),
        (NotFollowed(5), Claim::Unknown, LIVE, true, (Reset(Unknown), First::Snapshot, 5)),
        (NotFollowed(5), Position(5), LIVE, false, (Resumed, log_after_claim(5), 5)),
    ] {
        let request = Request { claim, history, has_snapshot, is_client: true };
        let Beginning { status, first, then, waits_for_topics, .. } = beginning(hub, &request);
        assert_eq!((status, first, then.position), expected, "{hub:?} {request:?}");
        let is_live = !matches!(first, First::Log(_)) && matches!(hub, NotFollowed(_));
        assert_eq!(waits_for_topics, is_live, "{hub:?} {request:?}");
    }
}

fn log_after_claim(position: u64) -> First {
    First::Log(LogStart::AfterClaim(position))
}

const fn log_newest(count: usize, age: u64, whole: Whole) -> First {
    First::Log(LogStart::Newest { count, age, to: None, whole, passing: None })
}

#[test]
fn history_is_complete_if_nothing_of_what_was_asked_for_is_gone() {
    use History::{All, Last, Within};

    let second = Duration::from_secs(1);
    for (history, expected) in [
        (History::None, true),
        (All, false),
        (Last(0), true),
        (Last(3), true),
        (Last(4), false),
        // What is lost came before an event that is too old; or may have come after it.
        (Within(2 * second), true),
        (Within(3 * second), false),
    ] {
        let request = Request { claim: Claim::None, history, has_snapshot: false, is_client: true };
        for hub in [HubKind::InMemory, HubKind::Replica(5)] {
            assert_eq!(beginning(hub, &request).is_complete, expected, "{hub:?} {history:?}");
        }
    }
    // A client that is reset has been told.
    let request =
        Request { claim: Claim::Unknown, history: All, has_snapshot: false, is_client: true };
    assert!(beginning(HubKind::InMemory, &request).is_complete);
}

#[test]
fn history_of_the_log_is_complete_if_it_goes_as_far_back_as_was_asked_for() {
    use History::{All, Last, Within};

    let second = Duration::from_secs(1);
    for (history, expected) in [
        (All, [Reach::All].as_slice()),
        (Last(1_000), &[Reach::All, Reach::Count]),
        // More than the topic retains.
        (Last(1_001), &[Reach::All]),
        (Within(600 * second), &[Reach::All, Reach::Time]),
        (Within(601 * second), &[Reach::All]),
    ] {
        let request = Request { claim: Claim::None, history, has_snapshot: false, is_client: true };
        let First::Log(LogStart::Newest { whole, .. }) =
            beginning(HubKind::Selective(5), &request).first
        else {
            panic!("it is read from the log");
        };
        let reaches = [Reach::All, Reach::Count, Reach::Time, Reach::Retained];
        let complete: Vec<_> =
            reaches.into_iter().filter(|reach| whole.is_reached(*reach)).collect();
        assert_eq!(complete, expected, "{history:?}");
    }
}
