//! The inbox under shuttle, which chooses the thread that runs next: see the core's `models.rs`.

use std::io;

use mio::{Registry, Token};
use shuttle::sync::{Condvar, Mutex};

/// Wakes the writer, in place of mio's waker. As there, several wake-ups before it waits are one.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    pub(super) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(super) fn wake(&self) -> io::Result<()> {
        *self.rung.lock().expect("nothing panics here") = true;
        self.ringing.notify_one();
        Ok(())
    }

    #[cfg(test)]
    fn wait(&self) {
        let mut rung = self.rung.lock().expect("nothing panics here");
        while !std::mem::take(&mut *rung) {
            rung = self.ringing.wait(rung).expect("nothing panics here");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use shuttle::Runner;
    use shuttle::scheduler::{PctScheduler, RandomScheduler};
    use shuttle::thread;

    /// As in the core's models.
    fn explore(model: fn()) {
        if let Ok(schedule) = std::env::var("TIDINGS_MODEL_REPLAY") {
            return shuttle::replay(model, &schedule);
        }
        let number = |name| std::env::var(name).ok().map(|value| value.parse().unwrap());
        let iterations = number("TIDINGS_MODEL_ITERATIONS").unwrap_or(1_000) as usize;
        let seed = number("TIDINGS_MODEL_SEED").unwrap_or(1);
        let config = || {
            let mut config = shuttle::Config::new();
            config.silence_warnings = true;
            config
        };
        Runner::new(RandomScheduler::new_from_seed(seed, iterations), config()).run(model);
        Runner::new(PctScheduler::new_from_seed(seed, 3, iterations), config()).run(model);
    }

    fn inbox() -> Arc<Inbox<()>> {
        let messages = Mutex::new(Messages { list: Vec::new(), closed: false });
        Arc::new(Inbox { messages, waker: Bell::default() })
    }

    /// Two threads that send two messages each.
    fn senders(inbox: &Arc<Inbox<()>>) -> [thread::JoinHandle<()>; 2] {
        [0, 10].map(|first| {
            let inbox = inbox.clone();
            thread::spawn(move || {
                inbox.send(Message::Stream(first));
                inbox.send(Message::Stream(first + 1));
            })
        })
    }

    #[test]
    fn a_writer_that_waits_for_the_bell_gets_each_senders_messages_in_order() {
        explore(|| {
            let inbox = inbox();
            let senders = senders(&inbox);
            let mut received = Vec::new();
            let mut messages = Vec::new();
            while received.len() < 4 {
                inbox.waker.wait();
                inbox.take(&mut messages);
                received.extend(messages.drain(..).map(|message| match message {
                    Message::Stream(number) => number,
                    _ => unreachable!("nothing else is sent"),
                }));
            }
            for first in [0, 10] {
                let mut of_one = received.iter().filter(|n| (first..first + 2).contains(*n));
                assert!(of_one.next() < of_one.next() && of_one.next().is_none());
            }
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        });
    }

    #[test]
    fn nothing_stays_in_an_inbox_whose_writer_has_ended() {
        explore(|| {
            let inbox = inbox();
            let senders = senders(&inbox);
            inbox.close();
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            assert!(inbox.messages().list.is_empty());
        });
    }
}
