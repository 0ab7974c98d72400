//! How the streams of a feed wait for what is published next.

use std::sync::Arc;

use super::{Cursor, Feed, TopicCursor};
use crate::log::TopicLog;
use crate::log::tail::Tail;
use crate::waking::Waiter;

impl Feed {
    /// Whether nothing was appended since all wait lists were joined.
    #[inline]
    pub(crate) fn is_waited_for(
        &self,
        topic_cursors: &[TopicCursor],
        waited: u64,
        tail: &Tail,
    ) -> bool {
        if let Some(gate) = &self.gate {
            return gate.still_waiting(topic_cursors.first().and_then(|it| it.ticket));
        }
        let is_waiting = |(topic, topic_cursor): (&Arc<TopicLog>, &TopicCursor)| {
            topic.still_waiting(topic_cursor.ticket)
        };
        self.topics.len() == topic_cursors.len()
            && match self.changed_since(waited, tail.watermark(), tail) {
                None => self.topics.iter().zip(topic_cursors).all(is_waiting),
                Some(places) => places.into_iter().all(|place| {
                    let place = place as usize;
                    self.topics.get(place).zip(topic_cursors.get(place)).is_some_and(is_waiting)
                }),
            }
    }

    /// The topics whose wait lists may have been taken after they were joined, if all were at `waited`.
    fn changed_since(&self, waited: u64, watermark: u64, tail: &Tail) -> Option<Vec<u32>> {
        if waited == 0 { None } else { self.changed(waited, watermark, tail) }
    }

    /// Joins the wait lists of all topics, or that of the gate. Returns false when there is something to read instead.
    ///
    /// `waited` is the watermark when that was last done, or 0. The waker must be registered: what is published after the
    /// watermark that is read here either finds the stream in the list, or has taken it from there and will wake it.
    pub(crate) fn wait<W: Waiter + 'static>(
        &self,
        cursor: Cursor,
        topic_cursors: &mut [TopicCursor],
        waited: &mut u64,
        waiter: &Arc<W>,
        tail: &Tail,
    ) -> bool {
        match (&self.gate, topic_cursors.first_mut()) {
            (Some(gate), Some(first)) => gate.wait(self, cursor, &mut first.ticket, waiter, tail),
            _ => self.wait_for_topics(cursor, topic_cursors, waited, waiter, tail),
        }
    }

    /// Joins the wait lists of all topics.
    pub(in crate::log) fn wait_for_topics<W: Waiter + 'static>(
        &self,
        cursor: Cursor,
        topic_cursors: &mut [TopicCursor],
        waited: &mut u64,
        waiter: &Arc<W>,
        tail: &Tail,
    ) -> bool {
        let join = |(topic, topic_cursor): (&Arc<TopicLog>, &mut TopicCursor)| {
            if !topic.still_waiting(topic_cursor.ticket) {
                topic_cursor.ticket = topic.wait(cursor.offset, waiter);
            }
            #[cfg(test)]
            super::test_hook::between_topics();
            topic_cursor.ticket.is_some()
        };
        let watermark = tail.watermark();
        let waits = match self.changed_since(*waited, watermark, tail) {
            None => self.topics.iter().zip(topic_cursors).all(join),
            Some(places) => places.into_iter().all(|place| {
                let place = place as usize;
                self.topics.get(place).zip(topic_cursors.get_mut(place)).is_some_and(join)
            }),
        };
        if waits {
            *waited = watermark;
        }
        waits
    }

    /// Joins the wait list of one topic, by its index. Returns false when it has something new.
    pub(crate) fn wait_for<W: Waiter + 'static>(
        &self,
        topic: u32,
        cursor: Cursor,
        topic_cursors: &mut [TopicCursor],
        waiter: &Arc<W>,
    ) -> bool {
        let index = topic as usize;
        let (Some(topic), Some(topic_cursor)) =
            (self.topics.get(index), topic_cursors.get_mut(index))
        else {
            return false;
        };
        topic_cursor.ticket = topic.wait(cursor.offset, waiter);
        topic_cursor.ticket.is_some()
    }

    /// Leaves the wait lists.
    pub(crate) fn stop_waiting(&self, topic_cursors: &[TopicCursor]) {
        let Some(gate) = &self.gate else { return self.leave_topics(topic_cursors) };
        let ticket = topic_cursors.first().and_then(|topic_cursor| topic_cursor.ticket);
        if let Some(ticket) = ticket.filter(|ticket| gate.still_waiting(Some(*ticket))) {
            gate.stop_waiting(ticket);
        }
    }

    /// Leaves the wait lists of the topics.
    pub(in crate::log) fn leave_topics(&self, topic_cursors: &[TopicCursor]) {
        for (topic, topic_cursor) in self.topics.iter().zip(topic_cursors) {
            if let Some(ticket) =
                topic_cursor.ticket.filter(|ticket| topic.still_waiting(Some(*ticket)))
            {
                topic.stop_waiting(ticket);
            }
        }
    }
}
