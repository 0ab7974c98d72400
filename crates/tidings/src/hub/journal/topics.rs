use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use super::filtered_logs::FilteredLogs;
use super::keys::Keys;
use super::source::Source;
use super::tombstones::Tombstones;
use super::topic_map::TopicMap;
use crate::event::tags::Tags;
use crate::filter::Filter;
use crate::log::TopicLog;
use crate::log::coverage::{Coverage, LowWatermark};
use crate::log::filtered::{Filtered, filter_of};
use crate::log::frame::Frame;
use crate::log::retention::{Retention, RetentionRules};
use crate::log::standing::{LastEvent, Standing};
use crate::number_map::NumberMap;
use crate::pattern_map::PatternMap;
use crate::topic::{Topic, TopicPattern};

/// How many topics the journal's lock is held for at most, where there may be thousands: for some tens of microseconds.
/// Whoever waits for it meanwhile comes in between.
pub(crate) const STEP: usize = if cfg!(shuttle) { 1 } else { 256 };

/// The topics of a hub: created on use, removed when they have neither subscribers nor retained events; and the
/// patterns that have subscribers.
///
/// A pattern has a log like a topic's, to which the events of all its topics are appended, too. Its subscribers
/// read it and wait for it. What was published before is in the topics' own logs, see [`Past`].
#[derive(Debug)]
pub(crate) struct Topics {
    rules: Arc<RetentionRules>,
    nothing: Arc<Retention>,
    /// Whether the hub's log delivers only topics that the hub is interested in.
    is_selective: bool,
    logs: TopicMap,
    patterns: PatternMap<Arc<TopicLog>>,
    /// By the ids of the logs that they are of.
    filtered: NumberMap<u64, FilteredLogs>,
    next_id: u64,
    vanished: Tombstones,
    /// Of a replica: the topics that it knows to be finished, whether memory has the last event or not. It knows for a while
    /// only, because the hub's log may lose the event.
    ends: Option<Keys<Topic, LastEvent>>,
    interests: Interests,
}

/// Changes of interest that a selective log has not learned of yet, in order.
#[derive(Debug, Default)]
struct Interests {
    changes: VecDeque<(TopicPattern, Option<u64>)>,
    /// A thread is telling the log, and will look for more.
    is_being_told: bool,
}

/// The logs that hold what was published to some topics and patterns before a certain moment.
pub(crate) struct Past<'a> {
    pub(crate) logs: Cow<'a, [Arc<TopicLog>]>,
    /// What vanished topics of the patterns had lost.
    pub(crate) vanished: LowWatermark,
    /// Of a stream with a filter: these logs have all events.
    pub(crate) filter: Option<Filter>,
}

impl<'a> Past<'a> {
    /// The past is in the logs that the present is read from, or that these are filtered from.
    pub(crate) fn of(logs: &'a [Arc<TopicLog>]) -> Self {
        let filter = filter_of(logs).cloned();
        let logs = match filter {
            Some(_) => logs.iter().map(|log| log.whole().clone()).collect(),
            None => logs.into(),
        };
        Self { logs, vanished: LowWatermark::default(), filter }
    }

    /// The past is in these same logs, which have what a filter passes and no more.
    pub(crate) fn of_filtered(logs: &'a [Arc<TopicLog>]) -> Self {
        Self { logs: logs.into(), vanished: LowWatermark::default(), filter: None }
    }

    pub(crate) fn passes(&self, frame: &Frame) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.passes(frame.tags.as_deref()))
    }

    pub(crate) fn is_in_other_logs(&self) -> bool {
        matches!(self.logs, Cow::Owned(_))
    }
}

impl Topics {
    /// How many finished topics are known at a time, and for how long, in milliseconds.
    const ENDS: usize = 16 * 1024;
    const ENDS_WINDOW: u64 = 60_000;

    /// `low` is what all topics have lost.
    pub(super) fn new(rules: Arc<RetentionRules>, source: &Source, low: LowWatermark) -> Self {
        let (is_selective, is_replica) = match source {
            Source::Local { .. } => (false, false),
            Source::Replica(replica) => (replica.history.is_selective, true),
        };
        Self {
            rules,
            nothing: Arc::new(Retention::none()),
            is_selective,
            logs: TopicMap::default(),
            patterns: PatternMap::default(),
            filtered: NumberMap::default(),
            next_id: 0,
            vanished: Tombstones::of_all(low),
            ends: is_replica.then(|| Keys::bounded(Self::ENDS, Self::ENDS_WINDOW)),
            interests: Interests::default(),
        }
    }

    /// From now on, topics that do not exist have lost this.
    pub(super) fn forget_vanished(&mut self, low: LowWatermark) {
        self.vanished = Tombstones::of_all(low);
        self.ends = self.ends.take().map(|_| Keys::bounded(Self::ENDS, Self::ENDS_WINDOW));
    }

    /// Whether a topic is known not to be finished.
    pub(crate) fn is_open(&self, topic: &Topic) -> bool {
        self.get(topic).is_some_and(|log| log.lock().standing == Standing::Open)
    }

    /// A topic's last event, if it is finished.
    pub(super) fn end_of(&mut self, topic: &Topic, now: u64) -> Option<LastEvent> {
        if let Some(log) = self.get(topic) {
            match log.lock().standing {
                Standing::Finished(last) => return Some(last),
                Standing::Open => return None,
                Standing::Unknown { .. } => {}
            }
        }
        self.known_end_of(topic, now)
    }

    /// The same of a topic that has no log.
    pub(super) fn known_end_of(&mut self, topic: &Topic, now: u64) -> Option<LastEvent> {
        self.ends.as_mut()?.get(topic, now)
    }

    /// A topic has this last event, or has none any more.
    pub(super) fn set_end(&mut self, topic: &Topic, last: Option<LastEvent>, now: u64) {
        match (&mut self.ends, last) {
            (Some(ends), Some(last)) => ends.insert(topic.clone(), last, now),
            (Some(ends), None) => ends.remove(topic),
            (None, _) => {}
        }
    }

    /// All logs, of topics and of patterns, and filtered ones.
    pub(crate) fn all(&self) -> Vec<Arc<TopicLog>> {
        let patterns = self.patterns.iter().map(|(_, log)| log);
        let filtered = self.filtered.values().flat_map(FilteredLogs::iter);
        self.logs.iter().chain(patterns).chain(filtered).cloned().collect()
    }

    /// What a log covers that begins, or is cleared, with this lost.
    pub(super) fn coverage(&self, low: LowWatermark) -> Coverage {
        if self.is_selective { Coverage::NotFollowed } else { Coverage::Since(low) }
    }

    pub(super) fn get(&self, topic: &Topic) -> Option<&Arc<TopicLog>> {
        self.logs.get(topic.as_str())
    }

    /// The log of a topic or pattern.
    pub(super) fn find(&self, name: &TopicPattern) -> Option<&Arc<TopicLog>> {
        match name.has_wildcard() {
            false => self.logs.get(name.as_str()),
            true => self.patterns.get(name),
        }
    }

    /// Whether a log is one of these.
    pub(super) fn has(&self, log: &TopicLog) -> bool {
        let found = match &log.filtered {
            Some(it) => self.filtered.get(&it.of.id).and_then(|logs| logs.get(&it.filter)),
            None => self.find(&log.name),
        };
        found.is_some_and(|found| found.id == log.id)
    }

    /// The filtered logs of a log.
    pub(super) fn filtered_of(&self, log: &TopicLog) -> impl Iterator<Item = &Arc<TopicLog>> {
        self.filtered.get(&log.id).into_iter().flat_map(FilteredLogs::iter)
    }

    /// Adds to the logs that an event goes to, which are that of its topic and these others, the filtered ones of them.
    pub(super) fn add_filtered(
        &self,
        topic: Option<&Arc<TopicLog>>,
        tags: Option<&Tags>,
        others: &mut Vec<Arc<TopicLog>>,
    ) {
        // Most hubs have none, and need no look.
        if self.filtered.is_empty() {
            return;
        }
        let patterns = others.len();
        if let Some(logs) = topic.and_then(|topic| self.filtered.get(&topic.id)) {
            logs.add_matching(tags, others);
        }
        for place in 0..patterns {
            if let Some(logs) = others.get(place).and_then(|log| self.filtered.get(&log.id)) {
                logs.add_matching(tags, others);
            }
        }
    }

    /// The filtered logs of a topic that an event does not go to, but which have got the event that it supersedes.
    pub(super) fn superseded_in(&self, topic: &TopicLog, tags: &Tags) -> Vec<Arc<TopicLog>> {
        let mut logs = Vec::new();
        if let (Some(filtered), Some(key)) = (self.filtered.get(&topic.id), &tags.key)
            && let Some(superseded) = topic.lock().durable.of_key(key)
        {
            filtered.add_matching(superseded.tags.as_deref(), &mut logs);
        }
        logs.retain(|log| log.filter().is_some_and(|filter| !filter.passes(Some(tags))));
        logs
    }

    /// The log that an event of a topic goes to. A selective log knows of topics with subscribers only, so
    /// there an event does not create one.
    pub(super) fn for_event(&mut self, topic: &Topic, now: u64) -> Option<Arc<TopicLog>> {
        match self.get(topic) {
            Some(log) => Some(log.clone()),
            None if self.is_selective => None,
            None => Some(self.create(&topic.into(), LowWatermark::default(), now)),
        }
    }

    /// The logs of the patterns that match a topic.
    pub(super) fn patterns_of(&self, topic: &Topic) -> Vec<Arc<TopicLog>> {
        // Most hubs have none, and need no look.
        if self.patterns.is_empty() {
            return Vec::new();
        }
        self.patterns.matching(topic).map(|(_, log)| log.clone()).collect()
    }

    /// Whether there is a log that an event of this topic would be appended to.
    pub(crate) fn is_known(&self, topic: &Topic) -> bool {
        self.get(topic).is_some() || self.patterns.matching(topic).next().is_some()
    }

    /// How many streams are subscribed to a topic, by its name or by a pattern.
    pub(crate) fn subscribers_of(&self, topic: &Topic) -> usize {
        let patterns = self.patterns.matching(topic).map(|(_, log)| log);
        self.get(topic).into_iter().chain(patterns).map(|log| log.lock().all_subscribers()).sum()
    }

    /// Some of the topics whose names begin with a prefix, `most` of them, in order, from the first after a name on; none
    /// at the end.
    pub(crate) fn page(
        &self,
        prefix: &str,
        after: Option<&TopicLog>,
        most: usize,
    ) -> Vec<Arc<TopicLog>> {
        let after = after.map(|log| log.name.as_str());
        self.logs.with_prefix(prefix, after).take(most).cloned().collect()
    }

    /// The same for topics that have vanished, with what they had lost.
    pub(crate) fn page_of_vanished(
        &self,
        prefix: &str,
        after: Option<&Topic>,
        most: usize,
    ) -> Vec<(Topic, LowWatermark)> {
        let vanished = self.vanished.with_prefix(prefix, after).take(most);
        vanished.map(|(topic, low)| (topic.clone(), low)).collect()
    }

    /// What all those had lost that have vanished and are not remembered.
    pub(crate) fn lost_by_forgotten(&self) -> LowWatermark {
        self.vanished.merged()
    }

    /// Gets topics and patterns, or what passes a filter of them, and counts one more stream, or other reader, in each, so
    /// that they stay. `low` is what a new pattern or filtered log has not got.
    pub(super) fn subscribe(
        &mut self,
        names: &[TopicPattern],
        filter: Option<&Filter>,
        is_stream: bool,
        low: LowWatermark,
        now: u64,
    ) -> Vec<Arc<TopicLog>> {
        let subscribe = |name| {
            let log = self.find(name).cloned().unwrap_or_else(|| self.create(name, low, now));
            let Some(filter) = filter else {
                *log.lock().count(is_stream) += 1;
                return log;
            };
            *log.lock().filtered_count(is_stream) += 1;
            let filtered = self.filtered.get(&log.id).and_then(|logs| logs.get(filter)).cloned();
            let filtered = filtered.unwrap_or_else(|| self.create_filtered(log, filter, low));
            *filtered.lock().count(is_stream) += 1;
            filtered
        };
        names.iter().map(subscribe).collect()
    }

    /// Removes a topic or pattern that has become vacant.
    pub(super) fn remove(&mut self, log: &TopicLog) {
        if let Some(Filtered { of, filter }) = log.filtered.as_deref() {
            if let Some(logs) = self.filtered.get_mut(&of.id) {
                logs.remove(filter);
            }
            if self.filtered.get(&of.id).is_some_and(FilteredLogs::is_empty) {
                self.filtered.remove(&of.id);
            }
            return;
        }
        match log.name.topic() {
            Some(topic) => {
                let lost = log.lock().coverage.low_watermark();
                self.logs.remove(topic.as_str());
                if lost.position > 0 && !self.is_selective {
                    self.vanished.add(&topic, lost);
                }
            }
            None => self.patterns.remove(&log.name),
        }
        self.note_interest(&log.name, None);
    }

    /// `low` is what it has not got, if it is a pattern.
    fn create(&mut self, name: &TopicPattern, low: LowWatermark, now: u64) -> Arc<TopicLog> {
        self.next_id += 1;
        let topic = name.topic();
        let low = topic.as_ref().map_or(low, |topic| self.vanished.low_watermark(topic));
        let retention = match &topic {
            // Its topics retain the events: the live window is enough.
            None if !self.is_selective => self.nothing.clone(),
            // Each of its topics has keys of its own.
            None => Arc::new(self.rules.of(name).without_keys()),
            Some(_) => self.rules.of(name).clone(),
        };
        let coverage = self.coverage(low);
        let is_asked_for = topic.is_some() && self.ends.is_some();
        let text = name.to_owned_text();
        let log = Arc::new(TopicLog::new(self.next_id, text, retention, coverage, is_asked_for));
        let end =
            topic.as_ref().zip(self.ends.as_mut()).and_then(|(topic, ends)| ends.get(topic, now));
        if let Some(last) = end {
            log.set_standing(&mut log.lock(), Standing::Finished(last), low.offset.max(1));
        }
        match topic {
            Some(_) => self.logs.insert(log.clone()),
            None => self.patterns.insert(name.clone(), log.clone()),
        }
        self.note_interest(name, Some(log.id));
        log
    }

    /// What passes a filter from here on.
    fn create_filtered(
        &mut self,
        of: Arc<TopicLog>,
        filter: &Filter,
        low: LowWatermark,
    ) -> Arc<TopicLog> {
        self.next_id += 1;
        // What is not followed yet will be, together with its filtered logs.
        let coverage = match of.lock().coverage.is_followed() {
            true => Coverage::Since(low),
            false => Coverage::NotFollowed,
        };
        // Its readers, too, need not have what was superseded.
        let nothing = match of.retention.is_latest_per_key() {
            true => Arc::new(self.nothing.with_keys()),
            false => self.nothing.clone(),
        };
        let id = of.id;
        let filtered = Filtered { of, filter: filter.clone() };
        let log = Arc::new(TopicLog::filtered(self.next_id, filtered, nothing, coverage));
        self.filtered.entry(id).or_default().insert(filter, log.clone());
        log
    }

    fn note_interest(&mut self, name: &TopicPattern, interest: Option<u64>) {
        if self.is_selective {
            self.interests.changes.push_back((name.clone(), interest));
        }
    }

    /// The next change of interest that the caller is to tell the hub's log, with no lock held. One thread at
    /// a time does that, so that the log learns of them in their order; `is_telling` says that it is the
    /// caller, who has told the last one.
    pub(crate) fn next_interest(
        &mut self,
        is_telling: bool,
    ) -> Option<(TopicPattern, Option<u64>)> {
        let Interests { changes, is_being_told } = &mut self.interests;
        if *is_being_told && !is_telling {
            return None;
        }
        let change = changes.pop_front();
        *is_being_told = change.is_some();
        change
    }

    pub(crate) fn count(&self) -> usize {
        self.logs.len()
    }

    /// The patterns with their logs.
    pub(crate) fn patterns(&self) -> Vec<Arc<TopicLog>> {
        self.patterns.iter().map(|(_, log)| log.clone()).collect()
    }
}
