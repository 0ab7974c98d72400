//! Turns of streams that have more to send than one turn allows.
//!
//! A worker is one thread. Without turns, each of a thousand streams of a busy topic would send all that
//! it has before anything else gets a chance; and streams that only yield would be ahead of whatever
//! another thread wakes, such as a stream of a quiet topic. So what is left after a turn waits here, and
//! a few of those that wait go on between everything else.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use tokio::task::yield_now;

/// How many bytes a stream may send in a turn: as many as actix-http collects for a write.
pub(crate) const BYTES: usize = 32 * 1024;

/// How many streams go on before everything else gets its chance: half a megabyte, which takes less
/// than a millisecond.
const STREAMS: usize = 16;

thread_local! {
    static TURNS: RefCell<Turns> = const { RefCell::new(Turns::new()) };
}

struct Turns {
    waiting: VecDeque<Waker>,
    /// Whether this thread gives turns.
    is_given: bool,
    giver: Option<Waker>,
}

impl Turns {
    const fn new() -> Self {
        Self { waiting: VecDeque::new(), is_given: false, giver: None }
    }
}

/// Wakes a task when it is its turn again. Under another server that is at once.
pub(crate) fn wait(task: &Waker) {
    let giver = TURNS.with_borrow_mut(|turns| match turns.is_given {
        true => {
            turns.waiting.push_back(task.clone());
            turns.giver.take()
        }
        false => Some(task.clone()),
    });
    if let Some(giver) = giver {
        giver.wake();
    }
}

/// Gives turns to the tasks of this thread, for ever.
pub(crate) async fn give() {
    TURNS.with_borrow_mut(|turns| turns.is_given = true);
    loop {
        let woken = poll_fn(|cx| {
            TURNS.with_borrow_mut(|turns| {
                if turns.waiting.is_empty() {
                    turns.giver = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                let number = turns.waiting.len().min(STREAMS);
                Poll::Ready(turns.waiting.drain(..number).collect::<Vec<_>>())
            })
        });
        woken.await.into_iter().for_each(Waker::wake);
        // Until the runtime has looked for what sockets bring.
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::sync::oneshot;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    #[tokio::test]
    async fn a_thousand_busy_streams_let_everything_else_go_first() {
        let turns = Rc::new(Cell::new(0));
        let test = async {
            spawn_local(give());
            for _ in 0..1000 {
                let turns = turns.clone();
                spawn_local(async move {
                    loop {
                        turns.set(turns.get() + 1);
                        let mut has_waited = false;
                        poll_fn(|cx| match std::mem::replace(&mut has_waited, true) {
                            true => Poll::Ready(()),
                            false => {
                                wait(cx.waker());
                                Poll::Pending
                            }
                        })
                        .await;
                    }
                });
            }
            while turns.get() < 5000 {
                yield_now().await;
            }
            let now = turns.clone();
            // Woken by this thread, as by a socket.
            let before = turns.get();
            let after = spawn_local(async move { now.get() }).await.unwrap();
            assert!(after - before <= 4 * STREAMS, "{} turns", after - before);
            // And by another thread.
            let (wake, woken) = oneshot::channel();
            let now = turns.clone();
            let quiet = spawn_local(async move {
                woken.await.unwrap();
                now.get()
            });
            yield_now().await;
            let before = turns.get();
            std::thread::spawn(|| wake.send(()).unwrap()).join().unwrap();
            let after = quiet.await.unwrap();
            assert!(after - before <= 4 * STREAMS, "{} turns", after - before);
        };
        LocalSet::new().run_until(test).await;
    }
}
