use std::collections::{HashMap, HashSet};

use futures_util::future::AbortHandle;
use tidings::backend::PatternMap;
use tidings::{Topic, TopicPattern};

use crate::subject::Subjects;

/// The interests of the hub, the subscriptions that bring their events, and how many of these have come.
#[derive(Debug, Default)]
pub(super) struct Interests {
    by_pattern: HashMap<TopicPattern, Interest>,
    /// Those with a wildcard.
    wildcards: PatternMap<()>,
    /// By their subjects of the stream. Patterns with the same wildcard share one.
    subscriptions: HashMap<String, Subscription>,
    /// Subjects that are to be subscribed to.
    unsubscribed: HashSet<String>,
    /// The replica was given everything that it follows up to here, from the stream itself.
    settled: u64,
    /// The newest event of each topic that was handed on after that.
    newest: HashMap<Topic, u64>,
    /// With this many topics, it is time to forget some.
    forget_at: usize,
    /// The newest message that was left out because no interest that was followed matched it.
    newest_skipped: u64,
}

#[derive(Debug)]
struct Interest {
    /// The hub's number for it: an earlier interest in the same pattern had another.
    number: u64,
    /// Events after this position are handed on; `None` until it is known.
    since: Option<u64>,
    /// The subscriptions that bring it.
    filters: Vec<String>,
}

#[derive(Debug, Default)]
struct Subscription {
    /// How many interests need it.
    users: usize,
    handle: Option<AbortHandle>,
}

/// With fewer topics, none is forgotten.
const FEW_TOPICS: usize = 1_024;

impl Interests {
    /// Adds an interest. False if there is one in the same pattern already.
    pub(super) fn add(&mut self, subjects: &Subjects, pattern: TopicPattern, number: u64) -> bool {
        if self.by_pattern.contains_key(&pattern) {
            return false;
        }
        let filters = subjects.filters(&pattern);
        for filter in &filters {
            let subscription = self.subscriptions.entry(filter.clone()).or_default();
            if subscription.users == 0 {
                self.unsubscribed.insert(filter.clone());
            }
            subscription.users += 1;
        }
        if pattern.has_wildcard() {
            self.wildcards.insert(pattern.clone(), ());
        }
        self.by_pattern.insert(pattern, Interest { number, since: None, filters });
        true
    }

    pub(super) fn remove(&mut self, pattern: &TopicPattern) {
        let Some(interest) = self.by_pattern.remove(pattern) else { return };
        match pattern.topic() {
            Some(topic) if self.since(&topic).is_none() => drop(self.newest.remove(&topic)),
            Some(_) => {}
            None => self.wildcards.remove(pattern),
        }
        for filter in &interest.filters {
            let Some(subscription) = self.subscriptions.get_mut(filter) else { continue };
            subscription.users -= 1;
            if subscription.users == 0 {
                self.unsubscribed.remove(filter);
                let removed = self.subscriptions.remove(filter);
                removed.and_then(|removed| removed.handle).inspect(AbortHandle::abort);
            }
        }
    }

    /// A subject that is to be subscribed to, until it [is](Self::subscribed).
    pub(super) fn next_unsubscribed(&self) -> Option<String> {
        self.unsubscribed.iter().next().cloned()
    }

    pub(super) fn subscribed(&mut self, filter: &str, handle: AbortHandle) {
        self.unsubscribed.remove(filter);
        match self.subscriptions.get_mut(filter) {
            Some(subscription) => subscription.handle = Some(handle),
            None => handle.abort(),
        }
    }

    /// All its events after a position will be handed on. Returns whether the interest of this number is still
    /// there.
    pub(super) fn follow(&mut self, pattern: &TopicPattern, number: u64, position: u64) -> bool {
        let interest = self.by_pattern.get_mut(pattern);
        let interest = interest.filter(|interest| interest.number == number);
        interest.map(|interest| interest.since = Some(position)).is_some()
    }

    /// A message was left out, because no interest that is followed matches it.
    pub(super) fn skip(&mut self, sequence: u64) {
        self.newest_skipped = self.newest_skipped.max(sequence);
    }

    /// Whether an interest can be followed from a position on: no message after it was left out.
    pub(super) fn can_follow_from(&self, position: u64) -> bool {
        self.newest_skipped <= position
    }

    /// The patterns that are followed.
    pub(super) fn followed(&self) -> impl Iterator<Item = &TopicPattern> {
        let followed = self.by_pattern.iter().filter(|(_, interest)| interest.since.is_some());
        followed.map(|(pattern, _)| pattern)
    }

    /// The position after which events of a topic are handed on, if an interest that is followed matches it.
    pub(super) fn since(&self, topic: &Topic) -> Option<u64> {
        let since = |pattern: &TopicPattern| self.by_pattern.get(pattern)?.since;
        let by_wildcards =
            self.wildcards.matching(topic).filter_map(|(pattern, ())| since(pattern));
        since(&topic.into()).into_iter().chain(by_wildcards).min()
    }

    /// The replica has all events of a topic up to this position, from the one on at which it is followed.
    pub(super) fn complete(&self, topic: &Topic) -> Option<u64> {
        let since = self.since(topic)?;
        let newest = self.newest.get(topic).copied().unwrap_or_default();
        Some(since.max(self.settled).max(newest))
    }

    /// An event is handed on, after all events of its topic before it.
    pub(super) fn handed_on(&mut self, topic: &Topic, sequence: u64) {
        self.newest.insert(topic.clone(), sequence);
    }

    /// Everything that is followed was handed on up to here. With a gap, nothing is followed any more. Returns the
    /// interests that are not followed.
    pub(super) fn settle(&mut self, end: u64, has_gap: bool) -> Vec<(TopicPattern, u64)> {
        self.settled = end;
        self.newest.clear();
        if has_gap {
            self.by_pattern.values_mut().for_each(|interest| interest.since = None);
        }
        let unfollowed = self.by_pattern.iter().filter(|(_, interest)| interest.since.is_none());
        unfollowed.map(|(pattern, interest)| (pattern.clone(), interest.number)).collect()
    }

    /// Forgets topics whose newest event is gone from the stream: no later message names it as the one before. So there
    /// are not many more than the stream has, although a pattern may match any number.
    pub(super) fn forget_before(&mut self, first: u64) {
        if self.newest.len() < self.forget_at.max(FEW_TOPICS) {
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

    fn pattern(pattern: &str) -> TopicPattern {
        TopicPattern::new(pattern).unwrap()
    }

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    fn subjects() -> Subjects {
        Subjects::new("tidings".to_owned())
    }

    /// Interests in these, subscribed to.
    fn interests(patterns: &[&str]) -> Interests {
        let mut interests = Interests::default();
        for (number, it) in patterns.iter().enumerate() {
            assert!(interests.add(&subjects(), pattern(it), number as u64));
        }
        subscribe(&mut interests);
        interests
    }

    /// The subjects that have to be subscribed to.
    fn subscribe(interests: &mut Interests) -> Vec<String> {
        let mut subscribed = Vec::new();
        while let Some(filter) = interests.next_unsubscribed() {
            interests.subscribed(&filter, AbortHandle::new_pair().0);
            subscribed.push(filter);
        }
        subscribed.sort();
        subscribed
    }

    fn is_subscribed(interests: &Interests, filter: &str) -> bool {
        let handle = interests.subscriptions.get(filter).and_then(|it| it.handle.as_ref());
        handle.is_some_and(|handle| !handle.is_aborted())
    }

    #[test]
    fn patterns_with_one_wildcard_share_a_subscription_until_the_last_is_gone() {
        let mut interests = interests(&["a.b*"]);
        assert!(interests.add(&subjects(), pattern("a.c*"), 7));
        assert!(!interests.add(&subjects(), pattern("a.c*"), 8));
        assert_eq!(subscribe(&mut interests), Vec::<String>::new());
        interests.remove(&pattern("a.b*"));
        assert!(is_subscribed(&interests, "tidings.a.>"));
        interests.remove(&pattern("a.c*"));
        assert!(interests.subscriptions.is_empty());
    }

    #[test]
    fn a_subject_that_is_needed_again_is_subscribed_to_again() {
        let mut interests = interests(&["a.*"]);
        let before = interests.subscriptions["tidings.a.>"].handle.clone().unwrap();
        interests.remove(&pattern("a.*"));
        assert!(before.is_aborted());
        assert!(interests.add(&subjects(), pattern("a.*"), 1));
        interests.remove(&pattern("a.*"));
        assert!(interests.add(&subjects(), pattern("a.*"), 2));
        assert_eq!(subscribe(&mut interests), ["tidings.a%2E", "tidings.a.>"]);
        assert!(!interests.follow(&pattern("a.*"), 1, 10), "by an interest that was removed");
        assert!(interests.follow(&pattern("a.*"), 2, 10));
    }

    #[test]
    fn nothing_is_left_of_interests_that_are_gone_before_they_are_subscribed_to() {
        let mut interests = interests(&["a.*"]);
        for number in 0..1_000 {
            let pattern = pattern(&format!("user.{number}"));
            assert!(interests.add(&subjects(), pattern.clone(), number));
            interests.remove(&pattern);
        }
        assert!(interests.unsubscribed.is_empty());
        assert!(is_subscribed(&interests, "tidings.a.>"));
    }

    #[test]
    fn a_topic_is_followed_from_where_the_first_of_its_patterns_is() {
        let mut interests = interests(&["a.b", "a.*", "*b", "c"]);
        assert_eq!(interests.since(&topic("a.b")), None);
        interests.follow(&pattern("a.*"), 1, 20);
        interests.follow(&pattern("a.b"), 0, 30);
        assert_eq!(interests.since(&topic("a.b")), Some(20));
        assert_eq!(interests.since(&topic("a.c")), Some(20));
        assert_eq!(interests.since(&topic("c.b")), None);
        interests.remove(&pattern("a.*"));
        assert_eq!(interests.since(&topic("a.b")), Some(30));
        assert_eq!(interests.since(&topic("a.c")), None);
    }

    #[test]
    fn within_a_pattern_each_topic_is_complete_by_itself() {
        let mut interests = interests(&["a.*"]);
        interests.follow(&pattern("a.*"), 0, 20);
        interests.handed_on(&topic("a.b"), 25);
        assert_eq!(interests.complete(&topic("a.b")), Some(25));
        assert_eq!(interests.complete(&topic("a.c")), Some(20));
        assert_eq!(interests.settle(40, false), []);
        assert_eq!(interests.complete(&topic("a.b")), Some(40));
        assert_eq!(interests.complete(&topic("b")), None);
    }

    #[test]
    fn after_a_gap_nothing_is_followed() {
        let mut interests = interests(&["a.*", "b"]);
        interests.follow(&pattern("a.*"), 0, 20);
        assert_eq!(interests.settle(30, false), [(pattern("b"), 1)]);
        let mut unfollowed = interests.settle(40, true);
        unfollowed.sort();
        assert_eq!(unfollowed, [(pattern("a.*"), 0), (pattern("b"), 1)]);
        assert_eq!(interests.followed().count(), 0);
    }

    #[test]
    fn nothing_is_followed_from_before_a_message_that_was_left_out() {
        let mut interests = interests(&["a.b*"]);
        assert!(interests.can_follow_from(0));
        interests.skip(21);
        interests.skip(20);
        assert!(!interests.can_follow_from(20));
        assert!(interests.can_follow_from(21) && interests.can_follow_from(22));
    }

    #[test]
    fn no_more_topics_are_remembered_than_the_stream_has() {
        let mut interests = interests(&["*"]);
        interests.follow(&pattern("*"), 0, 0);
        for sequence in 1..=100_000 {
            interests.handed_on(&topic(&format!("user:{sequence}")), sequence);
            // It keeps a thousand messages.
            interests.forget_before(sequence.saturating_sub(999));
            assert!(interests.newest.len() <= 2 * FEW_TOPICS);
        }
        for sequence in 99_001..=100_000 {
            let topic = topic(&format!("user:{sequence}"));
            assert_eq!(interests.complete(&topic), Some(sequence));
        }
    }
}
