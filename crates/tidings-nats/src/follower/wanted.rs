use std::collections::HashMap;

use futures_util::future::AbortHandle;
use tidings::backend::PatternMap;
use tidings::{Topic, TopicPattern};

use crate::subject::Subjects;

/// The topics and families that the replica of a selective log wants, the subscriptions that bring them,
/// and how much of them has come.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    by_name: HashMap<TopicPattern, Followed>,
    families: PatternMap<()>,
    /// By their subjects of the stream. Families with the same wildcard share one.
    subscriptions: HashMap<String, Subscription>,
    /// Those that are to be subscribed to, and perhaps some that are not any more.
    untapped: Vec<String>,
    /// Up to here, the replica was given all of what it follows, from the stream itself.
    settled: u64,
    /// The newest event of each topic that was handed on behind that.
    newest: HashMap<Topic, u64>,
    /// With so many topics, it is time to forget some.
    forget_at: usize,
}

/// A topic or a family that the replica wants.
#[derive(Debug)]
struct Followed {
    /// The hub's interest: tells it from the same topic, if that was wanted before.
    number: u64,
    /// Behind this position its events are handed on; `None` before that is known.
    since: Option<u64>,
    /// The subscriptions that bring it.
    filters: Vec<String>,
}

#[derive(Debug, Default)]
struct Subscription {
    /// For so many topics and families.
    users: usize,
    tap: Option<AbortHandle>,
}

/// With fewer topics, none is forgotten.
const TOPICS: usize = 1_024;

impl Wanted {
    /// Begins to want a topic or a family; not if it does already.
    pub(super) fn want(&mut self, subjects: &Subjects, name: TopicPattern, number: u64) -> bool {
        if self.by_name.contains_key(&name) {
            return false;
        }
        let filters = subjects.filters(&name);
        for filter in &filters {
            let subscription = self.subscriptions.entry(filter.clone()).or_default();
            if subscription.users == 0 {
                self.untapped.push(filter.clone());
            }
            subscription.users += 1;
        }
        if name.has_wildcard() {
            self.families.insert(name.clone(), ());
        }
        self.by_name.insert(name, Followed { number, since: None, filters });
        true
    }

    pub(super) fn unwant(&mut self, name: &TopicPattern) {
        let Some(followed) = self.by_name.remove(name) else { return };
        match name.topic() {
            Some(topic) if self.since(&topic).is_none() => drop(self.newest.remove(&topic)),
            Some(_) => {}
            None => self.families.remove(name),
        }
        for filter in &followed.filters {
            let Some(subscription) = self.subscriptions.get_mut(filter) else { continue };
            subscription.users -= 1;
            if subscription.users == 0 {
                let left = self.subscriptions.remove(filter);
                left.and_then(|left| left.tap).inspect(AbortHandle::abort);
            }
        }
    }

    /// Something that is to be subscribed to, until it [is](Self::tapped).
    pub(super) fn untapped(&mut self) -> Option<String> {
        while let Some(filter) = self.untapped.last() {
            if self.subscriptions.get(filter).is_some_and(|wanted| wanted.tap.is_none()) {
                return Some(filter.clone());
            }
            self.untapped.pop();
        }
        None
    }

    pub(super) fn tapped(&mut self, filter: &str, tap: AbortHandle) {
        match self.subscriptions.get_mut(filter) {
            Some(subscription) => subscription.tap = Some(tap),
            None => tap.abort(),
        }
    }

    /// Everything of it that is behind a position will be handed on. Returns whether it is wanted still, by the
    /// interest of this number.
    pub(super) fn follow(&mut self, name: &TopicPattern, number: u64, position: u64) -> bool {
        let followed = self.by_name.get_mut(name).filter(|followed| followed.number == number);
        followed.map(|followed| followed.since = Some(position)).is_some()
    }

    /// What is followed.
    pub(super) fn followed(&self) -> impl Iterator<Item = &TopicPattern> {
        let followed = self.by_name.iter().filter(|(_, followed)| followed.since.is_some());
        followed.map(|(name, _)| name)
    }

    /// Behind this position, events of a topic are handed on, if it is followed by its name or in a family.
    pub(super) fn since(&self, topic: &Topic) -> Option<u64> {
        let since = |name: &TopicPattern| self.by_name.get(name)?.since;
        let of_families = self.families.matching(topic).filter_map(|(name, ())| since(name)).min();
        since(&topic.into()).into_iter().chain(of_families).min()
    }

    /// Up to here, the replica has all events of a topic behind those that it did not want.
    pub(super) fn complete(&self, topic: &Topic) -> Option<u64> {
        let since = self.since(topic)?;
        let newest = self.newest.get(topic).copied().unwrap_or_default();
        Some(since.max(self.settled).max(newest))
    }

    /// An event is handed on, behind all of its topic before it.
    pub(super) fn take(&mut self, topic: &Topic, sequence: u64) {
        self.newest.insert(topic.clone(), sequence);
    }

    /// Everything that is followed was handed on up to here; if not, none of it is followed any more. Returns
    /// what is wanted and not followed.
    pub(super) fn settle(&mut self, end: u64, has_hole: bool) -> Vec<(TopicPattern, u64)> {
        self.settled = end;
        self.newest.clear();
        if has_hole {
            self.by_name.values_mut().for_each(|followed| followed.since = None);
        }
        let unfollowed = self.by_name.iter().filter(|(_, followed)| followed.since.is_none());
        unfollowed.map(|(name, followed)| (name.clone(), followed.number)).collect()
    }

    /// Forgets topics whose newest event is gone from the stream: no message that is still to come names it as
    /// the one before. So they are not many more than the stream has, though a family may have any number.
    pub(super) fn forget_before(&mut self, first: u64) {
        if self.newest.len() < self.forget_at.max(TOPICS) {
            return;
        }
        let mut newest = std::mem::take(&mut self.newest);
        newest.retain(|topic, newest| *newest >= first && self.since(topic).is_some());
        self.forget_at = 2 * newest.len();
        self.newest = newest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TopicPattern {
        TopicPattern::new(name).unwrap()
    }

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn subjects() -> Subjects {
        Subjects::new("tidings".to_owned())
    }

    /// Wants these, and subscribes.
    fn wanted(names: &[&str]) -> Wanted {
        let mut wanted = Wanted::default();
        for (number, it) in names.iter().enumerate() {
            assert!(wanted.want(&subjects(), name(it), number as u64));
        }
        tap(&mut wanted);
        wanted
    }

    /// What is subscribed to.
    fn tap(wanted: &mut Wanted) -> Vec<String> {
        let mut tapped = Vec::new();
        while let Some(filter) = wanted.untapped() {
            wanted.tapped(&filter, AbortHandle::new_pair().0);
            tapped.push(filter);
        }
        tapped.sort();
        tapped
    }

    fn is_tapped(wanted: &Wanted, filter: &str) -> bool {
        wanted.subscriptions.get(filter).is_some_and(|subscription| {
            subscription.tap.as_ref().is_some_and(|tap| !tap.is_aborted())
        })
    }

    #[test]
    fn families_with_one_wildcard_share_a_subscription_until_the_last_is_gone() {
        let mut wanted = wanted(&["a.b*"]);
        assert!(wanted.want(&subjects(), name("a.c*"), 7));
        assert!(!wanted.want(&subjects(), name("a.c*"), 8));
        assert_eq!(tap(&mut wanted), Vec::<String>::new());
        wanted.unwant(&name("a.b*"));
        assert!(is_tapped(&wanted, "tidings.a.>"));
        wanted.unwant(&name("a.c*"));
        assert!(wanted.subscriptions.is_empty());
    }

    #[test]
    fn what_is_wanted_again_is_subscribed_to_again() {
        let mut wanted = wanted(&["a.*"]);
        let before = wanted.subscriptions["tidings.a.>"].tap.clone().unwrap();
        wanted.unwant(&name("a.*"));
        assert!(before.is_aborted());
        assert!(wanted.want(&subjects(), name("a.*"), 1));
        wanted.unwant(&name("a.*"));
        assert!(wanted.want(&subjects(), name("a.*"), 2));
        assert_eq!(tap(&mut wanted), ["tidings.a%2E", "tidings.a.>"]);
        assert!(!wanted.follow(&name("a.*"), 1, 10), "of a interest that is no more");
        assert!(wanted.follow(&name("a.*"), 2, 10));
    }

    #[test]
    fn a_topic_is_followed_from_where_the_first_of_its_families_is() {
        let mut wanted = wanted(&["a.b", "a.*", "*b", "c"]);
        assert_eq!(wanted.since(&topic("a.b")), None);
        wanted.follow(&name("a.*"), 1, 20);
        wanted.follow(&name("a.b"), 0, 30);
        assert_eq!(wanted.since(&topic("a.b")), Some(20));
        assert_eq!(wanted.since(&topic("a.c")), Some(20));
        assert_eq!(wanted.since(&topic("c.b")), None);
        wanted.unwant(&name("a.*"));
        assert_eq!(wanted.since(&topic("a.b")), Some(30));
        assert_eq!(wanted.since(&topic("a.c")), None);
    }

    #[test]
    fn inside_a_family_each_topic_is_complete_by_itself() {
        let mut wanted = wanted(&["a.*"]);
        wanted.follow(&name("a.*"), 0, 20);
        wanted.take(&topic("a.b"), 25);
        assert_eq!(wanted.complete(&topic("a.b")), Some(25));
        assert_eq!(wanted.complete(&topic("a.c")), Some(20));
        assert_eq!(wanted.settle(40, false), []);
        assert_eq!(wanted.complete(&topic("a.b")), Some(40));
        assert_eq!(wanted.complete(&topic("b")), None);
    }

    #[test]
    fn behind_a_hole_nothing_is_followed() {
        let mut wanted = wanted(&["a.*", "b"]);
        wanted.follow(&name("a.*"), 0, 20);
        assert_eq!(wanted.settle(30, false), [(name("b"), 1)]);
        let mut unfollowed = wanted.settle(40, true);
        unfollowed.sort();
        assert_eq!(unfollowed, [(name("a.*"), 0), (name("b"), 1)]);
        assert_eq!(wanted.followed().count(), 0);
    }

    #[test]
    fn what_is_known_of_topics_is_no_more_than_the_stream_has() {
        let mut wanted = wanted(&["*"]);
        wanted.follow(&name("*"), 0, 0);
        for sequence in 1..=100_000 {
            wanted.take(&topic(&format!("user:{sequence}")), sequence);
            // It keeps a thousand messages.
            wanted.forget_before(sequence.saturating_sub(999));
            assert!(wanted.newest.len() <= 2 * TOPICS);
        }
        for sequence in 99_001..=100_000 {
            let topic = topic(&format!("user:{sequence}"));
            assert_eq!(wanted.complete(&topic), Some(sequence));
        }
    }
}
