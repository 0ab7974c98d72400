//! Checks that a client received what was published: each event exactly once, in order, with its name, data and id,
//! and the right status event first on each connection.

use serde_json::Value;
use tidings::STATUS_EVENT;

use super::script::Seen;

/// Checks all that a client received over all of its connections. There are at least `cuts` + 1 of them.
///
/// # Errors
///
/// The first fault. Numbers count the client's events from 0, without status events.
pub fn judge(expected: &[Seen], received: &[Seen], cuts: usize) -> Result<(), String> {
    statuses(received, cuts)?;
    let mut events = received.iter().filter(|seen| seen.event != STATUS_EVENT);
    let mut expected = expected.iter();
    for number in 0.. {
        match (events.next(), expected.next()) {
            (None, None) => break,
            (event, expected) if event == expected => {}
            (event, expected) => {
                return Err(shortened(&format!("event {number} is {event:?}, not {expected:?}")));
            }
        }
    }
    Ok(())
}

fn statuses(received: &[Seen], cuts: usize) -> Result<(), String> {
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
            if !is_right {
                return Err(format!("after {last_id:?} comes the status {seen:?}"));
            }
            connections += 1;
        } else if number == 0 {
            return Err(shortened(&format!("the first event is no status: {seen:?}")));
        }
        if !seen.id.is_empty() {
            last_id = &seen.id;
        }
    }
    match connections > cuts {
        true => Ok(()),
        false => Err(format!("there are only {connections} connections")),
    }
}

/// Some events are long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The id of a client, from its status event.
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
        // Some of them differ only by their ids.
        let expected: Vec<_> = (1..=10).map(|n| seen("message", &(n / 2).to_string(), n)).collect();
        let (before, after) = expected.split_at(4);
        let received = [&[status("fresh", 0)], before, &[status("resumed", 4)], after].concat();
        (expected, received)
    }

    #[test]
    fn all_events_in_order_are_good() {
        let (expected, received) = good();
        assert_eq!(judge(&expected, &received, 1), Ok(()));
        let fault = judge(&expected, &received, 2).unwrap_err();
        assert_eq!(fault, "there are only 2 connections");
    }

    #[test]
    fn every_change_is_found_everywhere() {
        let changes: [fn(&mut Vec<Seen>, usize); 8] = [
            |received, at| drop(received.remove(at)),
            |received, at| received.insert(at, received[at].clone()),
            |received, at| received.push(received[at].clone()),
            |received, at| received.insert(at, seen("message", "?", 77)),
            |received, at| received[at].data.push('x'),
            |received, at| received[at].event.push('x'),
            |received, at| received[at].id = "e-99".to_owned(),
            |received, at| {
                if at + 1 < received.len() {
                    received.swap(at, at + 1);
                } else {
                    received.truncate(at);
                }
            },
        ];
        let (expected, good) = good();
        for (number, change) in changes.into_iter().enumerate() {
            for at in 0..good.len() {
                // A connection may end before its first event, and nothing refers to the id of the fresh status.
                if [(1, 5), (6, 0)].contains(&(number, at)) {
                    continue;
                }
                let mut received = good.clone();
                change(&mut received, at);
                assert!(judge(&expected, &received, 1).is_err(), "change {number} at {at}");
            }
        }
    }

    #[test]
    fn a_wrong_status_is_found() {
        assert!(judge(&[], &[], 0).is_err());
        let (expected, good) = good();
        for (at, wrong) in [
            (0, status("resumed", 0)),
            (5, status("fresh", 4)),
            (5, status("reset", 4)),
            (5, status("resumed", 3)),
        ] {
            let mut received = good.clone();
            received[at] = wrong;
            assert!(judge(&expected, &received, 1).is_err(), "{received:?}");
        }
    }
}
