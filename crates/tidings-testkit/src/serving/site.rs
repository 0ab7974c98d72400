use std::net::SocketAddr;

use tidings::{Event, Hub, STATUS_EVENT};
use tidings_net::Serve;

use super::Serving;
use crate::adapter::{App, Server};
use crate::wire::{Connection, Request, Response};

/// An application that is served, with a shutdown of the test.
pub(super) struct Site {
    pub(super) app: App,
    pub(super) server: Server,
}

impl Site {
    pub(super) fn open<A: Serving>(
        set: impl FnOnce(&App, Serve<A::Server>) -> Serve<A::Server> + Send + 'static,
    ) -> Self {
        let app = App::new(Hub::builder().retry(None).build());
        let served = app.clone();
        let server = Server::start(async move |listener, begun| {
            let serve = A::serve(served.clone(), listener)?;
            let serve = serve.with_graceful_shutdown(begun).shutdown_timeout(App::SHUTDOWN_TIMEOUT);
            set(&served, serve).await
        });
        Self { app, server }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    pub(super) async fn publish(&self, topic: &str, data: &str) {
        self.app.hub().publish(topic, Event::new(data)).await.expect("an event");
    }
}

/// Opens a stream and reads its status event.
pub(super) async fn follow(addr: SocketAddr, target: &str) -> Response {
    follow_on(Connection::open(addr).await, target).await
}

/// The same, on a connection.
pub(super) async fn follow_on(connection: Connection, target: &str) -> Response {
    let mut response = connection.send(&Request::get(target)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.next_message().await.event(), STATUS_EVENT);
    response
}
