//! Who is on a topic by the streams of this node.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytestring::ByteString;

use super::{MAX_PRINCIPAL_BYTES, PresenceRules, Who};
use crate::client_id::ClientId;
use crate::sync::HashMap;
use crate::topic::TopicPattern;

/// The principals that have streams on this node, or had them a moment ago.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    rules: Arc<PresenceRules>,
    /// For what each stream counts.
    streams: HashMap<ClientId, Vec<Who>>,
    present: HashMap<Who, Stay>,
    /// Those without a stream, by the time at which they leave.
    leaving: BTreeSet<(u64, Who)>,
    /// Those who have come or left since this was last taken.
    changed: Vec<Who>,
}

#[derive(Debug)]
struct Stay {
    streams: usize,
    /// Milliseconds of the Unix epoch.
    since: u64,
    /// Milliseconds of the hub's clock: see [`Attendance::leaving`].
    leaves_at: u64,
}

impl Attendance {
    pub(super) fn new(rules: Arc<PresenceRules>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// A stream has these topics from now on, or none because it has ended. `now` is by the hub's clock, `today` by that of the
    /// wall. Returns when this has to be looked at.
    pub(super) fn update(
        &mut self,
        stream: ClientId,
        principal: &str,
        names: &[TopicPattern],
        (now, today): (u64, u64),
    ) -> Option<u64> {
        let mut topics = names.iter().filter_map(TopicPattern::topic).peekable();
        if topics.peek().is_none() && !self.streams.contains_key(&stream) {
            return None;
        }
        let principal = ByteString::from(principal);
        let is_counted =
            principal.len() <= MAX_PRINCIPAL_BYTES && !principal.contains(char::is_control);
        let topics = topics.filter(|topic| is_counted && self.rules.grace_of(topic).is_some());
        let after: Vec<_> =
            topics.map(|topic| Who { topic, principal: principal.clone() }).collect();
        let before = self.streams.remove(&stream).unwrap_or_default();
        let mut look_at = None;
        for who in before.iter().filter(|who| !after.contains(who)) {
            look_at = look_at.into_iter().chain(self.leave(who, now)).min();
        }
        for who in after.iter().filter(|who| !before.contains(who)) {
            if self.join(who, today) {
                look_at = Some(now);
            }
        }
        if !after.is_empty() {
            self.streams.insert(stream, after);
        } else if self.streams.len() < self.streams.capacity() / 8 {
            self.streams.shrink_to_fit();
        }
        look_at
    }

    /// Returns whether the principal was not there.
    fn join(&mut self, who: &Who, today: u64) -> bool {
        if let Some(stay) = self.present.get_mut(who) {
            if stay.streams == 0 {
                self.leaving.remove(&(stay.leaves_at, who.clone()));
            }
            stay.streams += 1;
            return false;
        }
        self.present.insert(who.clone(), Stay { streams: 1, since: today, leaves_at: 0 });
        self.changed.push(who.clone());
        true
    }

    /// Returns when the principal leaves, if that was its last stream.
    fn leave(&mut self, who: &Who, now: u64) -> Option<u64> {
        let grace = self.rules.grace_of(&who.topic).unwrap_or_default();
        let stay = self.present.get_mut(who)?;
        stay.streams -= 1;
        (stay.streams == 0).then(|| {
            stay.leaves_at = now + grace;
            self.leaving.insert((stay.leaves_at, who.clone()));
            stay.leaves_at
        })
    }

    /// Lets those leave whose grace is over. Returns when the next one leaves.
    pub(super) fn sweep(&mut self, now: u64) -> Option<u64> {
        while let Some((at, _)) = self.leaving.first() {
            if *at > now {
                return Some(*at);
            }
            if let Some((_, who)) = self.leaving.pop_first() {
                self.present.remove(&who);
                self.changed.push(who);
            }
        }
        if self.present.len() < self.present.capacity() / 8 {
            self.present.shrink_to_fit();
        }
        None
    }

    /// Those who have come or left meanwhile; some may have done both.
    pub(super) fn take_changed(&mut self) -> Vec<Who> {
        std::mem::take(&mut self.changed)
    }

    /// Since when a principal is there, in milliseconds of the Unix epoch.
    pub(super) fn since(&self, who: &Who) -> Option<u64> {
        self.present.get(who).map(|stay| stay.since)
    }

    pub(super) fn present(&self) -> impl Iterator<Item = &Who> {
        self.present.keys()
    }

    pub(super) fn count(&self) -> usize {
        self.present.len()
    }
}
