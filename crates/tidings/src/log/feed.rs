mod feeds;
mod merge;
mod topic_index;
mod waiting;

use std::sync::{Arc, Weak};

use super::coalesce::{Budget, Chunk, Slice};
use super::frame::Frame;
use super::gate::Gate;
use super::reset_reason::ResetReason;
use super::ring::Newest;
use super::standing::End;
use super::tail::Tail;
use super::wait_list::Ticket;
use super::{TopicLog, TopicState};
use crate::clock::Clock;
use crate::filter::Filter;
use crate::sync::Mutex;

pub(crate) use feeds::Feeds;
pub(crate) use merge::{Merge, PastRead};
use topic_index::TopicIndex;

/// A set of topics read as one stream, in the hub's order. Subscriptions to the same topics share
/// their feed, and with it the chunks that are written for them.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Sorted by name, each once.
    pub(crate) topics: Box<[Arc<TopicLog>]>,
    /// What passes of them, if that is not all: filtered logs are read without.
    filter: Option<Filter>,
    /// If there are many topics.
    index: Option<Box<TopicIndex>>,
    cache: Mutex<Cache>,
    /// The feeds that others find it in; none if nobody would have the same.
    siblings: Option<Arc<Feeds>>,
    readers: Readers,
    /// Whether one of the topics keeps the newest event of each key.
    is_latest: bool,
    /// Before what is new, if its streams have a pace.
    gate: Option<Arc<Gate>>,
}

/// Who reads a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Readers {
    /// Clients that know what was before their cursors.
    Any,
    /// Clients that are sent history and know of no key before it: removals of keys that are lost concern them not.
    Newcomers,
}

/// For how long values that may have been superseded are sent from a chunk, in milliseconds: so that many readers share it.
const LATEST: u64 = 50;

/// How many bytes of them a reader takes at a time.
const VALUES_BYTES: usize = 8 * 1024;

/// The newest chunk of each kind. A reader that lags by less than a chunk finds the rest of it here.
#[derive(Debug, Default)]
struct Cache {
    live: Option<Chunk>,
    replay: Option<Chunk>,
    /// In the list of feeds whose cached chunks will be dropped when they are old.
    listed: bool,
}

/// How far a subscription has read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor {
    /// Everything up to here was delivered, or is not for this subscription.
    pub(crate) offset: u64,
    /// The hub's watermark when the subscription began: up to here it reads history, which
    /// ephemeral events are not a part of.
    pub(crate) joined: u64,
}

/// What a subscription keeps for one of its topics.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TopicCursor {
    /// History of this topic begins after this offset, if the subscription's cursor is not past it.
    pub(crate) starts_after: u64,
    pub(crate) ticket: Option<Ticket>,
}

impl TopicCursor {
    /// One for each topic.
    pub(crate) fn for_each_of(topics: &[Arc<TopicLog>]) -> Box<[TopicCursor]> {
        vec![TopicCursor::default(); topics.len()].into_boxed_slice()
    }
}

impl Feed {
    /// The next events after the cursor, which moves on; `None` when there are none yet.
    ///
    /// `watermark` must have been read from the hub *before* this call. Frames after it are not read, in any
    /// topic: while one topic is read, another may get event 6 and this one event 7, and a client that is
    /// handed 7 without 6 remembers 7 and loses 6 for good.
    ///
    /// # Errors
    ///
    /// The reason, when the topics have lost an event after the cursor.
    #[inline]
    pub(crate) fn read(
        self: &Arc<Self>,
        cursor: &mut Cursor,
        topic_cursors: &[TopicCursor],
        watermark: u64,
        coalescing: &Coalescing,
    ) -> Result<Option<Slice>, ResetReason> {
        // Every second call ends here: servers poll a body until it is pending.
        if cursor.offset >= cursor.joined && cursor.offset >= watermark {
            return Ok(None);
        }
        self.read_news(cursor, topic_cursors, watermark, coalescing)
    }

    fn read_news(
        self: &Arc<Self>,
        cursor: &mut Cursor,
        topic_cursors: &[TopicCursor],
        watermark: u64,
        coalescing: &Coalescing,
    ) -> Result<Option<Slice>, ResetReason> {
        loop {
            let replay = cursor.offset < cursor.joined;
            let limit = if replay { cursor.joined } else { watermark };
            // A chunk of a reader with a higher limit would lead past this one.
            if cursor.offset >= limit {
                return Ok(None);
            }
            let range = Range { from: cursor.offset, to: limit, replay };
            let is_split = replay
                && topic_cursors
                    .iter()
                    .any(|topic_cursor| topic_cursor.starts_after > cursor.offset);
            let slice = if is_split {
                // Its topics begin at different offsets: no other reader can share this.
                let topics = (0..).zip(&self.topics);
                let room = self.room(coalescing);
                let gathered = self.gather_any(range, topics, Some(topic_cursors), room)?;
                gathered.into_slice(range, limit, coalescing).map(|(slice, ..)| slice)
            } else {
                self.read_shared(range, coalescing)?
            };
            match slice {
                Some(slice) => {
                    cursor.offset = slice.to;
                    return Ok(Some(slice));
                }
                None => cursor.offset = cursor.offset.max(limit),
            }
            if !replay {
                return Ok(None);
            }
        }
    }

    fn read_shared(
        self: &Arc<Self>,
        range: Range,
        coalescing: &Coalescing,
    ) -> Result<Option<Slice>, ResetReason> {
        let changed = self.changed(range.from, range.to, &coalescing.tail);
        let single = match &changed {
            None => self.read_single(range, (0..).zip(&self.topics))?,
            Some(places) => self.read_single(range, self.at(places))?,
        };
        if let Some(slice) = single {
            return Ok(slice);
        }
        let (slice, ..) = self.read_cached(range, coalescing, |room| match &changed {
            None => self.gather_any(range, (0..).zip(&self.topics), None, room),
            Some(places) => self.gather_any(range, self.at(places), None, room),
        })?;
        Ok(slice)
    }

    /// What the cache has of a range, or what is gathered in up to so many bytes. Returns the frames that were gathered and are
    /// not in the slice, and the offset up to which all are gathered, too.
    fn read_cached(
        self: &Arc<Self>,
        range: Range,
        coalescing: &Coalescing,
        gather: impl FnOnce(usize) -> Result<Gathered, ResetReason>,
    ) -> Result<(Option<Slice>, Vec<Frame>, u64), ResetReason> {
        // Held while the chunk is written: other readers at this offset wait and share it.
        let mut cache = self.cache.lock();
        if let Some(chunk) = cache.of(range.replay) {
            // A replay chunk that reaches past this reader's own beginning lacks ephemeral events
            // that are for this reader.
            if chunk.covers(range.from)
                && (!range.replay || chunk.to() <= range.to)
                && (!self.is_latest || self.is_fresh(chunk, range, coalescing))
                && let Some(slice) = chunk.between(range.from, range.to)
            {
                let to = slice.to;
                return Ok((Some(slice), Vec::new(), to));
            }
        }
        let seen = coalescing.tail.watermark();
        let gathered = gather(self.room(coalescing))?;
        let to = gathered.to;
        let Some((slice, chunk, left)) = gathered.into_slice(range, seen, coalescing) else {
            return Ok((None, Vec::new(), to));
        };
        if let Some(chunk) = chunk {
            *cache.of(range.replay) = Some(chunk);
            if !cache.listed {
                cache.listed = true;
                coalescing.warm.lock().push(Arc::downgrade(self));
            }
        }
        Ok((Some(slice), left, to))
    }

    /// Whether others may have the same feed.
    fn is_shared(&self) -> bool {
        self.siblings.is_some()
    }

    /// The places of the topics that have news in a range, and perhaps of others. `None` for all.
    #[inline]
    fn changed(&self, from: u64, to: u64, tail: &Tail) -> Option<Vec<u32>> {
        self.index.as_ref()?.changed(from, to, tail)
    }

    /// The topics at these places.
    fn at<'a>(
        &'a self,
        places: &'a [u32],
    ) -> impl Iterator<Item = (u32, &'a Arc<TopicLog>)> + Clone {
        places.iter().filter_map(|place| Some((*place, self.topics.get(*place as usize)?)))
    }

    /// The usual case, one event in one topic: its frame as it is. `Some(None)` for no event; `None` for
    /// several, which are worth a chunk.
    #[inline]
    fn read_single<'a>(
        &'a self,
        range: Range,
        topics: impl Iterator<Item = (u32, &'a Arc<TopicLog>)>,
    ) -> Result<Option<Option<Slice>>, ResetReason> {
        let mut fresh = topics.filter(|(_, topic)| topic.head() > range.from);
        let Some((index, topic)) = fresh.next() else {
            return Ok(Some(None));
        };
        if fresh.next().is_some() {
            return Ok(None);
        }
        let state = topic.lock();
        if let Some(reason) = self.gap_after(range.from, &state) {
            return Err(reason);
        }
        let ephemeral = match range.replay {
            true => Newest::None,
            false => state.ephemeral().map_or(Newest::None, |ring| ring.newest_after(range.from)),
        };
        let frame = match (state.durable.newest_after(range.from), ephemeral) {
            (Newest::One(frame), Newest::None) | (Newest::None, Newest::One(frame)) => frame,
            (Newest::None, Newest::None) => return Ok(Some(None)),
            _ => return Ok(None),
        };
        // A frame after the range, or one that is hidden: there is none in it.
        let is_read = frame.offset <= range.to && self.passes(frame);
        Ok(Some(is_read.then(|| Slice { topic: Some(index), ..Slice::of(frame) })))
    }

    /// Whether what waits for a client may be superseded meanwhile.
    pub(crate) fn is_latest(&self) -> bool {
        self.is_latest
    }

    #[inline]
    fn passes(&self, frame: &Frame) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.passes(frame.tags.as_deref()))
    }

    /// How much a reader takes at a time. What it has taken may be superseded before its client has read it, so of values it
    /// is little.
    fn room(&self, coalescing: &Coalescing) -> usize {
        let room = coalescing.budget.room();
        if self.is_latest { room.min(VALUES_BYTES) } else { room }
    }

    /// How many frames are compared with a filter under a topic's lock.
    const COMPARED: usize = 256;

    /// Collects frames of topics in a range, and goes on where all that it has seen are hidden.
    fn gather_any<'a>(
        &'a self,
        mut range: Range,
        topics: impl Iterator<Item = (u32, &'a Arc<TopicLog>)> + Clone,
        topic_cursors: Option<&[TopicCursor]>,
        room: usize,
    ) -> Result<Gathered, ResetReason> {
        loop {
            let gathered = self.gather(range, topics.clone(), topic_cursors, room)?;
            if !gathered.frames.is_empty() || gathered.to >= range.to {
                return Ok(gathered);
            }
            range.from = gathered.to;
        }
    }

    /// Whether a chunk is good enough for a reader although some of its values may have been superseded since it was
    /// written: it was a moment ago, and knew of every removal that the reader would not be told of.
    fn is_fresh(&self, chunk: &Chunk, range: Range, coalescing: &Coalescing) -> bool {
        chunk.at >= coalescing.clock.recent().saturating_sub(LATEST)
            && (self.readers == Readers::Any || chunk.seen >= range.to)
    }

    /// Why a reader at an offset cannot go on.
    #[inline]
    fn gap_after(&self, offset: u64, state: &TopicState) -> Option<ResetReason> {
        match self.readers {
            Readers::Any => state.coverage.gap_after(offset),
            Readers::Newcomers => state.gap_for_newcomer(offset),
        }
    }

    /// Collects the frames of topics in a range, in the hub's order: up to `room` bytes, and at least one frame.
    fn gather<'a>(
        &'a self,
        range: Range,
        topics: impl Iterator<Item = (u32, &'a Arc<TopicLog>)>,
        topic_cursors: Option<&[TopicCursor]>,
        room: usize,
    ) -> Result<Gathered, ResetReason> {
        let mut frames = Vec::new();
        let mut to = range.to;
        for (index, topic) in topics {
            let starts_after = topic_cursors
                .and_then(|topic_cursors| topic_cursors.get(index as usize))
                .map_or(0, |topic_cursor| topic_cursor.starts_after);
            let from = range.from.max(starts_after);
            if topic.head() <= from {
                continue;
            }
            let state = topic.lock();
            if let Some(reason) = self.gap_after(from, &state) {
                return Err(reason);
            }
            let ephemeral = state.ephemeral().filter(|_| !range.replay);
            for ring in [Some(&state.durable), ephemeral].into_iter().flatten() {
                let mut size = 0;
                let frames_of_ring = ring.after(from).take_while(|frame| frame.offset <= to);
                for (count, frame) in frames_of_ring.enumerate() {
                    if self.filter.is_some() && count == Self::COMPARED {
                        to = frame.offset - 1;
                        break;
                    }
                    if !self.passes(frame) {
                        continue;
                    }
                    // Cut short here, no other topic may be read further either: its frames
                    // would be sent before those left out here.
                    if size >= room {
                        to = frame.offset - 1;
                        break;
                    }
                    size += frame.bytes.len();
                    frames.push(frame.clone());
                }
            }
            drop(state);
            #[cfg(test)]
            test_hook::between_topics();
        }
        frames.sort_unstable_by_key(|frame| frame.offset);
        // A frame of a topic and of a pattern was found twice.
        frames.dedup_by_key(|frame| frame.offset);
        let mut size = 0;
        let fit = frames
            .iter()
            .take_while(|frame| {
                let fits = frame.offset <= to && (size == 0 || size + frame.bytes.len() <= room);
                size += frame.bytes.len();
                fits
            })
            .count();
        if let Some(first_out) = frames.get(fit) {
            to = to.min(first_out.offset - 1);
        }
        frames.truncate(fit);
        Ok(Gathered { frames, to })
    }

    /// Up to where a reader at a cursor may read what is new, of which the watermark is the end.
    #[inline]
    pub(crate) fn open_to(&self, cursor: Cursor, watermark: u64) -> u64 {
        match &self.gate {
            Some(gate) if !gate.is_open(cursor.offset) => cursor.offset,
            _ => watermark,
        }
    }

    /// The least interval between two writes to its streams, in milliseconds; 0 for none.
    pub(crate) fn interval(&self) -> u64 {
        self.gate.as_ref().map_or(0, |gate| gate.interval())
    }

    /// Whether its streams have a pace: they wait for that and not for their topics.
    #[inline]
    pub(crate) fn has_pace(&self) -> bool {
        self.gate.is_some()
    }

    /// What may follow for one who has read everything up to an offset.
    #[inline]
    pub(crate) fn end(&self, offset: u64) -> End {
        let mut all = End::Reached;
        for topic in &self.topics {
            match topic.end(offset) {
                End::Open => return End::Open,
                End::Unknown => all = End::Unknown,
                End::Reached => {}
            }
        }
        all
    }

    /// Whether the hub has all topics from some position on.
    pub(crate) fn is_followed(&self) -> bool {
        self.topics.iter().all(|topic| topic.lock().coverage.is_followed())
    }

    /// Whether a topic has anything after this offset.
    #[inline]
    pub(crate) fn has_news(&self, offset: u64) -> bool {
        self.topics.iter().any(|topic| topic.head() > offset)
    }

    /// Drops the cached chunks that were written before `before`. Returns whether any is left.
    pub(crate) fn cool(&self, before: u64) -> bool {
        let cache = &mut *self.cache.lock();
        for chunk in [&mut cache.live, &mut cache.replay] {
            chunk.take_if(|chunk| chunk.at < before);
        }
        cache.listed = cache.live.is_some() || cache.replay.is_some();
        cache.listed
    }
}

impl Cache {
    fn of(&mut self, replay: bool) -> &mut Option<Chunk> {
        if replay { &mut self.replay } else { &mut self.live }
    }
}

#[derive(Debug, Clone, Copy)]
struct Range {
    /// Exclusive.
    from: u64,
    /// Inclusive.
    to: u64,
    replay: bool,
}

struct Gathered {
    frames: Vec<Frame>,
    to: u64,
}

impl Gathered {
    /// The frames as one slice, and the chunk that it is of; without room for a chunk the first of them, and the others.
    fn into_slice(
        mut self,
        range: Range,
        seen: u64,
        coalescing: &Coalescing,
    ) -> Option<(Slice, Option<Chunk>, Vec<Frame>)> {
        let first = self.frames.first()?;
        let mut alone = Slice::of(first);
        if self.frames.len() == 1 {
            alone.to = self.to;
            return Some((alone, None, Vec::new()));
        }
        let now = coalescing.clock.now();
        let (covered, made) = ((range.from, self.to), (now, seen));
        match Chunk::write(&self.frames, covered, made, &coalescing.budget) {
            Some(chunk) => Some((chunk.between(range.from, self.to)?, Some(chunk), Vec::new())),
            None => {
                self.frames.remove(0);
                Some((alone, None, self.frames))
            }
        }
    }
}

/// What a hub's feeds need to know what is new, and to write chunks.
#[derive(Debug)]
pub(crate) struct Coalescing {
    pub(crate) tail: Tail,
    pub(crate) budget: Budget,
    clock: Clock,
    /// The feeds that have chunks cached.
    warm: Mutex<Vec<Weak<Feed>>>,
}

impl Coalescing {
    /// A chunk that was not replaced for this long, in milliseconds, has no readers left.
    const CHUNK_AGE: u64 = 1_000;

    pub(crate) fn new(budget: usize, clock: Clock) -> Self {
        Self { tail: Tail::default(), budget: Budget::new(budget), clock, warm: Mutex::default() }
    }

    /// Drops the chunks that every reader that keeps up has read. Returns whether any is left.
    pub(crate) fn cool(&self, now: u64) -> bool {
        let mut feeds = std::mem::take(&mut *self.warm.lock());
        let before = now.saturating_sub(Self::CHUNK_AGE);
        feeds.retain(|feed| feed.upgrade().is_some_and(|feed| feed.cool(before)));
        let mut warm = self.warm.lock();
        warm.append(&mut feeds);
        !warm.is_empty()
    }
}

/// Lets a test publish while a reader is between two topics.
#[cfg(test)]
pub(crate) mod test_hook {
    use std::cell::RefCell;

    type Hook = Box<dyn FnMut()>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    pub(crate) fn set(hook: Option<Hook>) {
        HOOK.set(hook);
    }

    pub(crate) fn between_topics() {
        // Removed while it runs: it may read, too.
        if let Some(mut hook) = HOOK.take() {
            hook();
            HOOK.set(Some(hook));
        }
    }
}
