//! A follower that is driven by hand, with a real server.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidings::Hub;
use tidings::backend::{Append, Appended, Log, LogErrorKind, Origin, Page, Read, Replica, Reply};
use tidings_testkit::limit::within;
use tidings_testkit::nats::Server;
use tidings_testkit::requirements::met;
use tokio::sync::mpsc;

use super::{Command, Follower};
use crate::complaint::Complaint;
use crate::engine::Engine;
use crate::limits::StreamLimits;
use crate::subject::Subjects;

/// A log that gives away its replica, and does nothing else.
#[derive(Debug)]
struct GivingLog {
    origin: Origin,
    replica: Arc<Mutex<Option<Replica>>>,
}

impl Log for GivingLog {
    fn origin(&self) -> Origin {
        self.origin.clone()
    }

    fn start(&self, replica: Replica) {
        *self.replica.lock() = Some(replica);
    }

    fn append(&self, _: Append, _: Reply<Appended>) {}

    fn read(&self, _: Read, _: Reply<Page>) {}

    fn end(&self, _: Reply<u64>) {}

    fn stop(&self) {}
}

/// A follower with everything that it needs.
struct Driven {
    hub: Hub,
    engine: Arc<Engine>,
    commands: mpsc::UnboundedSender<Command>,
    follower: Follower,
}

async fn server() -> Option<Server> {
    let server = Server::start().await;
    met("logs on NATS", || server)
}

async fn driven(server: &Server) -> Driven {
    let client = within("a connection", async_nats::connect(server.url())).await;
    let client = client.expect("the server is running");
    let limits = StreamLimits { append_timeout: Duration::from_secs(5), ..StreamLimits::default() };
    let (name, subjects) = ("TIDINGS".to_owned(), Subjects::new("tidings".to_owned()));
    let link = (client, Complaint::default());
    let opened = Engine::open(link, name, subjects, limits, Duration::from_secs(2));
    let (engine, state) = within("a stream", opened).await.expect("the stream is made");
    let origin = Origin::new(state.history.epoch.clone(), state.last, state.last);
    let given = Arc::new(Mutex::new(None));
    let hub = Hub::builder().build_on(GivingLog { origin, replica: given.clone() });
    let replica = given.lock().take().expect("the log was started");
    let (commands, commanded) = mpsc::unbounded_channel();
    let position = state.last;
    let follower = Follower::new(engine.clone(), replica, commanded, state, position, false);
    Driven { hub, engine, commands, follower }
}

#[tokio::test]
async fn a_history_that_another_node_has_begun_is_not_begun_again() {
    let Some(server) = server().await else { return };
    let Driven { hub: _hub, engine, commands: _commands, mut follower } = driven(&server).await;
    within("everything", follower.refill(engine.connects())).await.unwrap();
    let old = engine.history();
    // It wanted to, and the other one was faster; or its own answer was lost.
    follower.is_overtaken = true;
    within("another history", engine.begin_history(&old)).await.unwrap();
    let begun = within("the history", engine.state()).await.unwrap().history;
    assert_ne!(begun, old);
    for _ in 0..2 {
        within("everything", follower.refill(engine.connects())).await.unwrap();
    }
    let history = within("the history", engine.state()).await.unwrap().history;
    assert_eq!(history, begun);
}

#[tokio::test]
async fn whoever_asks_for_the_end_without_a_link_is_answered() {
    let Some(mut server) = server().await else { return };
    let Driven { hub: _hub, commands, follower, .. } = driven(&server).await;
    server.kill().await;
    let following = tokio::spawn(follower.run());
    for _ in 0..2 {
        let ask = |_| {
            let (reply, answer) = Reply::new();
            commands.send(Command::End(reply)).expect("it follows");
            answer
        };
        let answers: Vec<_> = (0..1_000).map(ask).collect();
        for answer in answers {
            let error = within("an answer", answer).await.unwrap_err();
            assert_eq!(error.kind(), LogErrorKind::Unavailable, "{error}");
        }
    }
    following.abort();
}
