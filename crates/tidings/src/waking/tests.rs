//! Which waiters are woken, by whom, and in which order.

use super::*;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, ThreadId};

const TURN: usize = Waking::TURN;
const WINDOW: usize = 4 * TURN;
const FOR_EVER: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Sleeper {
    this: Weak<Self>,
    /// `None` for what is no stream.
    turn: Option<Turn>,
    list: usize,
    tell: Sender<Woken>,
    panics: bool,
}

#[derive(Debug)]
struct Woken {
    sleeper: Arc<Sleeper>,
    by: ThreadId,
}

impl Waiter for Sleeper {
    fn wake(&self) {
        let sleeper = self.this.upgrade().unwrap();
        self.tell.send(Woken { sleeper, by: thread::current().id() }).unwrap();
        assert!(!self.panics, "woken");
    }

    fn turn(&self) -> Option<&Turn> {
        self.turn.as_ref()
    }

    fn wake_in_turn(&self, waking: &Waking) {
        self.turn.iter().for_each(|turn| turn.begin(waking));
        self.wake();
    }
}

/// What waits, and what was woken.
struct Sleepers {
    waking: &'static Waking,
    tell: Sender<Woken>,
    woken: Receiver<Woken>,
}

impl Sleepers {
    fn new(patience: Duration) -> Self {
        let (tell, woken) = channel();
        let waking = Waking::new(u32::try_from(WINDOW).unwrap(), patience);
        Self { waking: Box::leak(Box::new(waking)), tell, woken }
    }

    fn sleepers(
        &self,
        list: usize,
        count: usize,
        are_streams: bool,
        panics: bool,
    ) -> Vec<Arc<Sleeper>> {
        let turn = || are_streams.then(Turn::default);
        let sleeper = |this: &Weak<Sleeper>| Sleeper {
            this: this.clone(),
            turn: turn(),
            list,
            tell: self.tell.clone(),
            panics,
        };
        (0..count).map(|_| Arc::new_cyclic(sleeper)).collect()
    }

    fn wake_these(&self, list: usize, sleepers: &[Arc<Sleeper>]) {
        let waiting = sleepers.iter().map(|sleeper| sleeper.clone() as Arc<dyn Waiter>);
        self.waking.wake(Waiters::of(list, waiting.enumerate().collect()));
    }

    /// Wakes so many streams of a list.
    fn wake(&self, list: usize, count: usize) {
        self.wake_these(list, &self.sleepers(list, count, true, false));
    }

    /// The next ones that are woken.
    #[track_caller]
    fn woken(&self, count: usize) -> Vec<Woken> {
        (0..count).map(|_| self.woken.recv_timeout(LIMIT).unwrap()).collect()
    }

    /// Those that are woken until the thread waits for them to run. They must be so many.
    #[track_caller]
    fn woken_until_it_waits(&self, count: usize) -> Vec<Woken> {
        let woken = self.woken(count);
        let until = Instant::now() + LIMIT;
        let sleeps = self.waking.sleeps.load(Ordering::SeqCst);
        // It looks again when it is told of a list.
        self.waking.hand_over(Waiters::default());
        while self.waking.sleeps.load(Ordering::SeqCst) == sleeps {
            assert!(Instant::now() < until, "it does not wait");
            thread::yield_now();
        }
        assert_eq!(self.woken.try_iter().count(), 0, "no more are woken");
        woken
    }

    fn run(&self, woken: impl IntoIterator<Item = Woken>) {
        for Woken { sleeper, .. } in woken {
            if let Some(turn) = &sleeper.turn {
                turn.end_in(self.waking);
            }
        }
    }
}

fn of(list: usize, woken: &[Woken]) -> usize {
    woken.iter().filter(|woken| woken.sleeper.list == list).count()
}

fn by_this_thread(woken: &[Woken]) -> usize {
    woken.iter().filter(|woken| woken.by == thread::current().id()).count()
}

#[test]
fn a_few_are_woken_at_once_and_many_by_another_thread() {
    let sleepers = Sleepers::new(FOR_EVER);
    sleepers.wake(1, TURN);
    assert_eq!(by_this_thread(&sleepers.woken(TURN)), TURN);
    sleepers.wake(1, TURN + 1);
    assert_eq!(by_this_thread(&sleepers.woken(TURN + 1)), 0);
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_from_being_woken() {
    let sleepers = Sleepers::new(FOR_EVER);
    for are_streams in [true, false] {
        sleepers.wake_these(1, &sleepers.sleepers(1, TURN + 1, are_streams, true));
    }
    sleepers.wake(1, TURN + 1);
    sleepers.woken(3 * (TURN + 1));
}

#[test]
fn no_more_are_woken_than_may_be_awake_until_half_of_them_have_run() {
    let sleepers = Sleepers::new(FOR_EVER);
    sleepers.wake(1, 100 * TURN);
    let mut awake = sleepers.woken_until_it_waits(WINDOW);
    for _ in 0..10 {
        sleepers.run(awake.drain(..WINDOW / 2 - 1));
        sleepers.woken_until_it_waits(0);
        sleepers.run(awake.drain(..1));
        awake.extend(sleepers.woken_until_it_waits(WINDOW / 2));
    }
}

#[test]
fn lists_take_turns() {
    for [first, second] in [[1, 2], [2, 1]] {
        let sleepers = Sleepers::new(FOR_EVER);
        sleepers.wake(first, 100 * TURN);
        let mut awake = sleepers.woken_until_it_waits(WINDOW);
        sleepers.wake(second, 100 * TURN);
        for _ in 0..10 {
            sleepers.run(awake.drain(..2 * TURN));
            let woken = sleepers.woken_until_it_waits(2 * TURN);
            assert_eq!([first, second].map(|list| of(list, &woken)), [TURN; 2]);
            awake.extend(woken);
        }
    }
}

#[test]
fn a_topic_with_little_to_say_does_not_wait_for_a_busy_one() {
    let sleepers = Sleepers::new(FOR_EVER);
    sleepers.wake(1, 100 * TURN);
    let mut awake = sleepers.woken_until_it_waits(WINDOW);
    for _ in 0..10 {
        sleepers.wake(2, TURN);
        let woken = sleepers.woken(TURN);
        assert_eq!([of(2, &woken), by_this_thread(&woken)], [TURN; 2]);
        // But those of a topic that has more to say do not get in front again and again.
        sleepers.wake(2, TURN);
        sleepers.woken_until_it_waits(0);
        awake.extend(woken);
        sleepers.run(awake.drain(..3 * TURN));
        let woken = sleepers.woken_until_it_waits(2 * TURN);
        assert_eq!(of(2, &woken), TURN);
        awake.extend(woken);
    }
}

#[test]
fn what_is_no_stream_is_always_woken_at_once() {
    let sleepers = Sleepers::new(FOR_EVER);
    sleepers.wake(1, 100 * TURN);
    sleepers.woken_until_it_waits(WINDOW);
    for _ in 0..10 {
        sleepers.wake_these(2, &sleepers.sleepers(2, TURN, false, false));
        assert_eq!(by_this_thread(&sleepers.woken_until_it_waits(TURN)), TURN);
        sleepers.wake_these(2, &sleepers.sleepers(2, TURN + 1, false, false));
        assert_eq!(by_this_thread(&sleepers.woken_until_it_waits(TURN + 1)), 0);
    }
}

#[test]
fn a_stream_of_several_lists_is_woken_once() {
    let sleepers = Sleepers::new(FOR_EVER);
    sleepers.wake(1, WINDOW);
    let mut awake = sleepers.woken(WINDOW);
    let streams = sleepers.sleepers(2, TURN + 1, true, false);
    for list in 2..10 {
        sleepers.wake_these(list, &streams);
    }
    sleepers.wake(10, TURN + 1);
    sleepers.woken_until_it_waits(0);
    sleepers.run(awake.drain(..2 * TURN));
    let mut woken = sleepers.woken_until_it_waits(2 * TURN);
    sleepers.run(awake);
    woken.extend(sleepers.woken(2));
    assert_eq!([of(2, &woken), of(10, &woken)], [TURN + 1; 2]);
    // And once more, when something is published again.
    sleepers.run(woken);
    sleepers.wake_these(2, &streams);
    sleepers.woken(TURN + 1);
}

#[test]
fn those_that_do_not_run_do_not_keep_the_others_from_being_woken() {
    let sleepers = Sleepers::new(Duration::from_millis(1));
    sleepers.wake(1, 100 * TURN);
    let woken = sleepers.woken(100 * TURN);
    // They run all the same, later.
    sleepers.run(woken);
    assert_eq!(sleepers.waking.awake(), 0);
}
