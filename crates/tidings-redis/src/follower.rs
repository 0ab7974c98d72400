//! Hands all streams on to the replica, as one.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use redis::Value;
use tidings::backend::{LogError, Origin, RecordError, Refused, Replica};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::entry::{Entry, bytes};
use crate::lane::{Lane, News};
use crate::merge::Merge;
use crate::position::EntryId;
use crate::streams::{Beginning, Streams};
use crate::writer::raise;

/// The task that feeds the replica, from one history to the next.
pub(crate) async fn follow(
    streams: Arc<Streams>,
    replica: Replica,
    beginning: Beginning,
    doubts: Vec<Arc<Notify>>,
) {
    let ended = follow_all(&streams, &replica, beginning, &doubts).await;
    // The hub is gone, and with it all that the rest is for.
    let _: Result<std::convert::Infallible, Refused> = ended;
}

async fn follow_all(
    streams: &Arc<Streams>,
    replica: &Replica,
    mut beginning: Beginning,
    doubts: &[Arc<Notify>],
) -> Result<std::convert::Infallible, Refused> {
    loop {
        Follower::new(streams, replica, &beginning, doubts).run().await?;
        beginning = begin_anew(streams, replica, &beginning).await?;
        replica.restart(beginning.origin())?;
    }
}

async fn begin_anew(
    streams: &Streams,
    replica: &Replica,
    broken: &Beginning,
) -> Result<Beginning, Refused> {
    let mut backoff = Backoff::default();
    loop {
        match streams.begin(Some(&broken.tag)).await {
            Ok(beginning) => return Ok(beginning),
            Err(error) => replica.link(Err(&error))?,
        }
        backoff.wait().await;
    }
}

/// Follows one history.
struct Follower<'a> {
    streams: &'a Arc<Streams>,
    replica: &'a Replica,
    beginning: &'a Beginning,
    news: Vec<mpsc::Receiver<News>>,
    /// The lane that is asked for news first.
    turn: usize,
    merge: Merge,
    lanes: Vec<LaneState>,
    /// What the replica was told of the link.
    is_up: Option<bool>,
    /// Streams that are being raised.
    raising: JoinSet<(usize, EntryId, Result<EntryId, LogError>)>,
    is_raising: Vec<bool>,
    raise_failed: Option<Instant>,
    /// The newest position that was handed on.
    position: u64,
    // Ends the lanes with this history.
    _tasks: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct LaneState {
    is_up: bool,
    is_at_end: bool,
}

/// Whether the history goes on.
enum Turn {
    On,
    Another,
}

impl<'a> Follower<'a> {
    /// A lane is not asked for more while so many of its entries wait for other lanes.
    const MAX_WAITING: usize = 10_000;
    /// A stream that could not be raised is left in peace for so long.
    const RAISE_AGAIN: std::time::Duration = std::time::Duration::from_millis(200);

    fn new(
        streams: &'a Arc<Streams>,
        replica: &'a Replica,
        beginning: &'a Beginning,
        doubts: &[Arc<Notify>],
    ) -> Self {
        let count = streams.keys.count();
        let cursor = |index| EntryId::up_to(beginning.position, index);
        let mut tasks = JoinSet::new();
        let news = (0..count).map(|index| {
            let (sender, receiver) = mpsc::channel(2);
            let lane = Lane {
                streams: streams.clone(),
                index,
                tag: beginning.tag.clone(),
                cursor: cursor(index),
                is_entry: false,
                news: sender,
                doubt: doubts[index].clone(),
            };
            tasks.spawn(lane.run());
            receiver
        });
        Self {
            news: news.collect(),
            streams,
            replica,
            beginning,
            turn: 0,
            merge: Merge::new((0..count).map(cursor)),
            lanes: vec![LaneState::default(); count],
            is_up: None,
            raising: JoinSet::new(),
            is_raising: vec![false; count],
            raise_failed: None,
            position: beginning.position,
            _tasks: tasks,
        }
    }

    /// Ends when another history has begun.
    async fn run(mut self) -> Result<(), Refused> {
        loop {
            let turn = tokio::select! {
                (index, news) = Self::next(&mut self.news, self.turn, &self.merge) => {
                    self.turn = index + 1;
                    self.heard(index, news)?
                }
                Some(raised) = self.raising.join_next() => {
                    // Nothing panics there, and nothing is aborted before this ends.
                    if let Ok((index, to, result)) = raised {
                        self.raised(index, to, result);
                    }
                    Turn::On
                }
            };
            if let Turn::Another = turn {
                return Ok(());
            }
            self.hand_on()?;
            self.raise_others();
        }
    }

    /// The next news, of a lane that may go on. Lanes take turns.
    async fn next(news: &mut [mpsc::Receiver<News>], turn: usize, merge: &Merge) -> (usize, News) {
        let count = news.len();
        let mut poll = |cx: &mut Context<'_>| {
            for index in (turn..turn + count).map(|index| index % count) {
                if merge.waiting(index) >= Self::MAX_WAITING {
                    continue;
                }
                match news[index].poll_recv(cx) {
                    Poll::Ready(Some(news)) => return Poll::Ready((index, news)),
                    // Only after its last word, which has ended this.
                    Poll::Ready(None) => return Poll::Ready((index, News::Another)),
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        };
        poll_fn(move |cx| poll(cx)).await
    }

    fn heard(&mut self, index: usize, news: News) -> Result<Turn, Refused> {
        match news {
            News::Entries { entries, is_end } => {
                self.lanes[index].is_at_end = is_end;
                // It has forgotten what was promised, and those who have read on have missed something.
                if self.merge.push(index, entries).is_err() {
                    return Ok(Turn::Another);
                }
            }
            News::Verified(last_generated) => {
                self.lanes[index].is_up = true;
                self.link()?;
                // The server has forgotten what it was raised to.
                let frontier = self.merge.frontier(index);
                if last_generated < frontier && self.streams.keys.count() > 1 {
                    self.raise(index, frontier);
                }
            }
            News::Down(error) => {
                self.lanes[index] = LaneState::default();
                if self.is_up.replace(false) != Some(false) {
                    self.replica.link(Err(&error))?;
                }
            }
            News::Trimmed { to, newest } => {
                self.merge.skip(index, to);
                let position = |id: EntryId| id.position(index).unwrap_or(self.position);
                self.hole(position(to), position(newest))?;
            }
            News::Another => return Ok(Turn::Another),
        }
        Ok(Turn::On)
    }

    fn link(&mut self) -> Result<(), Refused> {
        if self.lanes.iter().all(|lane| lane.is_up) && self.is_up.replace(true) != Some(true) {
            self.replica.link(Ok(()))?;
        }
        Ok(())
    }

    /// What is up to there is missing.
    fn hole(&mut self, to: u64, end: u64) -> Result<(), Refused> {
        self.position = self.position.max(to);
        let (epoch, position) = (self.beginning.tag.epoch.clone(), self.position);
        self.replica.restart(Origin { epoch, position, end: end.max(position) })
    }

    fn hand_on(&mut self) -> Result<(), Refused> {
        while let Some((index, entry)) = self.merge.pop() {
            self.deliver(index, &entry)?;
        }
        let at_end = |lane: &LaneState| lane.is_up && lane.is_at_end;
        if self.merge.is_empty() && self.lanes.iter().all(at_end) {
            self.replica.caught_up()?;
        }
        Ok(())
    }

    fn deliver(&mut self, index: usize, entry: &Entry) -> Result<(), Refused> {
        let Some(position) = entry.id.position(index) else {
            let cause = format!("{} is beyond the ids that Redis generates", entry.id);
            return self.replica.rejected(self.position, &RecordError::new("id", cause));
        };
        if position <= self.position {
            return Ok(());
        }
        self.position = position;
        match entry.record(position) {
            Ok(record) => self.replica.deliver(record),
            Err(error) => self.replica.rejected(position, &error),
        }
    }

    /// Asks the streams that keep others waiting.
    fn raise_others(&mut self) {
        if self.raise_failed.is_some_and(|at| at.elapsed() < Self::RAISE_AGAIN) {
            return;
        }
        let Some((behind, to)) = self.merge.wanted() else { return };
        for index in behind {
            self.raise(index, to);
        }
    }

    fn raise(&mut self, index: usize, to: EntryId) {
        if std::mem::replace(&mut self.is_raising[index], true) {
            return;
        }
        let streams = self.streams.clone();
        self.raising.spawn(async move {
            let command = raise(&streams.keys.stream(index), to);
            let newest = streams.ask(index, "move a stream on", &command).await;
            (index, to, newest.and_then(newest_id))
        });
    }

    fn raised(&mut self, index: usize, to: EntryId, newest: Result<EntryId, LogError>) {
        self.is_raising[index] = false;
        match newest {
            Ok(newest) => {
                self.raise_failed = None;
                self.merge.raised(index, to, newest);
            }
            // The lane notices by itself what is wrong with its server.
            Err(_) => self.raise_failed = Some(Instant::now()),
        }
    }
}

/// The newest entry when a stream was raised; where there was none, all have been read.
fn newest_id(answer: Value) -> Result<EntryId, LogError> {
    let text = bytes(answer).map_err(|error| crate::error::failed("move a stream on", &error))?;
    Ok(EntryId::parse(&text).unwrap_or(EntryId::ZERO))
}
