//! Whether what a client received is what was published: each event exactly once, in order, with
//! its name, data and id; and each connection with the right status event first.

use std::fmt;

use serde_json::Value;
use tidings::STATUS_EVENT;

use super::script::Seen;

/// What is wrong. Numbers count the client's events, from 0, without status events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The first thing that a client receives is not the status event of a fresh client.
    NotFresh(Option<Seen>),
    /// A later status event does not say that the client goes on at the last event that it saw.
    NotResumed(Seen),
    /// There are fewer connections than there were cuts, and one.
    Connections(usize),
    /// The event did not come.
    Lost(Seen),
    /// The event came before.
    Doubled(usize, Seen),
    /// The event came too early.
    OutOfOrder(usize, Seen),
    /// The event came with another name, data or id.
    Altered {
        /// Its number.
        number: usize,
        /// As it should be.
        expected: Box<Seen>,
        /// As it was.
        received: Box<Seen>,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some events are long.
        let text = format!("{self:?}");
        match text.char_indices().nth(600) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

impl std::error::Error for Fault {}

/// Checks all that a client received, over all of its connections, of which there were `cuts` + 1
/// at least.
///
/// # Errors
///
/// The first fault.
pub fn judge(expected: &[Seen], received: &[Seen], cuts: usize) -> Result<(), Fault> {
    statuses(received, cuts)?;
    let events: Vec<&Seen> = received.iter().filter(|seen| seen.event != STATUS_EVENT).collect();
    for (number, &received) in events.iter().enumerate() {
        let wanted = expected.get(number);
        if wanted == Some(received) {
            continue;
        }
        let received = received.clone();
        if events[..number].contains(&&received) {
            return Err(Fault::Doubled(number, received));
        }
        let is_late = |seen: &Seen| events[number..].contains(&seen);
        return Err(match wanted {
            Some(wanted) if is_late(wanted) => Fault::OutOfOrder(number, received),
            Some(wanted) if expected[number..].contains(&received) => Fault::Lost(wanted.clone()),
            Some(wanted) => Fault::Altered {
                number,
                expected: Box::new(wanted.clone()),
                received: Box::new(received),
            },
            None => Fault::Doubled(number, received),
        });
    }
    match expected.get(events.len()) {
        Some(lost) => Err(Fault::Lost(lost.clone())),
        None => Ok(()),
    }
}

fn statuses(received: &[Seen], cuts: usize) -> Result<(), Fault> {
    let mut last_id = "";
    let mut connections = 0;
    for (number, seen) in received.iter().enumerate() {
        if seen.event == STATUS_EVENT {
            let status: Value = serde_json::from_str(&seen.data).unwrap_or_default();
            let is_right = match status["status"].as_str() {
                Some("fresh") => number == 0,
                Some("resumed") => number > 0 && seen.id == last_id,
                _ => false,
            };
            if !is_right && number > 0 {
                return Err(Fault::NotResumed(seen.clone()));
            }
            connections += usize::from(is_right);
        }
        if connections == 0 {
            return Err(Fault::NotFresh(Some(seen.clone())));
        }
        if !seen.id.is_empty() {
            last_id = &seen.id;
        }
    }
    match connections {
        0 => Err(Fault::NotFresh(None)),
        _ if connections <= cuts => Err(Fault::Connections(connections)),
        _ => Ok(()),
    }
}

/// The id by which a client's status event names it.
pub fn client_id(status: &Seen) -> Option<String> {
    let status: Value = serde_json::from_str(&status.data).ok()?;
    status["client"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event: &str, data: &str, id: usize) -> Seen {
        Seen { event: event.to_owned(), data: data.to_owned(), id: format!("e-{id}") }
    }

    fn status(status: &str, id: usize) -> Seen {
        seen(STATUS_EVENT, &format!(r#"{{"status":"{status}","client":"c"}}"#), id)
    }

    /// Ten events, and how a client receives them that is cut after the fourth.
    fn good() -> (Vec<Seen>, Vec<Seen>) {
        // Two of them look alike but for the id.
        let expected: Vec<_> = (1..=10).map(|n| seen("message", &(n / 2).to_string(), n)).collect();
        let (before, after) = expected.split_at(4);
        let received = [&[status("fresh", 0)], before, &[status("resumed", 4)], after].concat();
        (expected, received)
    }

    #[track_caller]
    fn caught(change: impl FnOnce(&mut Vec<Seen>)) -> Fault {
        let (expected, mut received) = good();
        change(&mut received);
        judge(&expected, &received, 1).unwrap_err()
    }

    #[test]
    fn all_events_in_order_are_good() {
        let (expected, received) = good();
        assert_eq!(judge(&expected, &received, 1), Ok(()));
    }

    #[test]
    fn a_lost_event_is_caught_wherever_it_is() {
        let (expected, received) = good();
        for at in (1..received.len()).filter(|&at| at != 5) {
            let mut received = received.clone();
            let lost = received.remove(at);
            let fault = judge(&expected, &received, 1).unwrap_err();
            // Before the cut, it is also the status that is wrong.
            assert!(
                matches!(&fault, Fault::Lost(seen) if *seen == lost)
                    || (at == 4 && matches!(fault, Fault::NotResumed(_))),
                "{at}: {fault}"
            );
        }
    }

    #[test]
    fn a_doubled_event_is_caught_wherever_it_is() {
        for at in (6..=11).chain(1..=3) {
            let fault = caught(|received| received.insert(at + 1, received[at].clone()));
            assert!(matches!(fault, Fault::Doubled(..)), "{at}: {fault}");
        }
        let again = caught(|received| received.push(received[1].clone()));
        assert!(matches!(again, Fault::Doubled(10, _)), "{again}");
    }

    #[test]
    fn swapped_events_are_caught() {
        for at in [1, 2, 6, 7, 10] {
            let fault = caught(|received| received.swap(at, at + 1));
            assert!(matches!(fault, Fault::OutOfOrder(..)), "{at}: {fault}");
        }
    }

    #[test]
    fn altered_events_are_caught() {
        let changes: [fn(&mut Seen); 4] = [
            |seen| seen.data.push(' '),
            |seen| seen.data.clear(),
            |seen| seen.event = "price".to_owned(),
            |seen| seen.id = "e-99".to_owned(),
        ];
        for change in changes {
            for at in [1, 7, 11] {
                let fault = caught(|received| change(&mut received[at]));
                assert!(matches!(fault, Fault::Altered { .. }), "{at}: {fault}");
            }
        }
    }

    #[test]
    fn an_event_from_elsewhere_is_caught() {
        let fault = caught(|received| received.insert(8, seen("message", "?", 77)));
        assert!(matches!(fault, Fault::OutOfOrder(..)), "{fault}");
        let fault = caught(|received| received.push(seen("message", "?", 77)));
        assert!(matches!(fault, Fault::Doubled(10, _)), "{fault}");
    }

    #[test]
    fn a_wrong_status_is_caught() {
        assert_eq!(judge(&[], &[], 0), Err(Fault::NotFresh(None)));
        let fault = caught(|received| drop(received.remove(0)));
        assert!(matches!(fault, Fault::NotFresh(_)), "{fault}");
        let fault = caught(|received| received[0] = status("resumed", 0));
        assert!(matches!(fault, Fault::NotFresh(_)), "{fault}");
        for wrong in [status("fresh", 4), status("reset", 4), status("resumed", 3)] {
            let fault = caught(|received| received[5] = wrong);
            assert!(matches!(fault, Fault::NotResumed(_)), "{fault}");
        }
        assert_eq!(caught(|received| drop(received.remove(5))), Fault::Connections(1));
    }
}
