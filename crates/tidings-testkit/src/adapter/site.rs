use std::net::SocketAddr;
use std::time::Duration;

use tidings::{Hub, HubBuilder, Message, STATUS_EVENT};

use super::{Adapter, App, Server};
use crate::tls::Certificate;
use crate::wire::{Request, Response};

/// An application that is being served.
pub(super) struct Site {
    pub(super) hub: Hub,
    pub(super) app: App,
    pub(super) server: Server,
}

impl Site {
    /// Serves an application whose hub leaves the time to reconnect to the client, since that
    /// varies.
    pub(super) fn open<A: Adapter>() -> Self {
        Self::with::<A>(Hub::builder())
    }

    pub(super) fn with<A: Adapter>(hub: HubBuilder) -> Self {
        let app = Self::app(hub);
        let served = app.clone();
        let server = Server::start(async |listener, begun| A::serve(served, listener, begun).await);
        Self::of(app, server)
    }

    /// The same, for clients that begin with HTTP/2 as well.
    pub(super) fn open_h2c<A: Adapter>() -> Self {
        let app = Self::app(Hub::builder());
        let served = app.clone();
        let serve = async |listener, begun| A::serve_h2c(served, listener, begun).await;
        Self::of(app, Server::start(serve))
    }

    /// The same, over TLS.
    pub(super) fn open_tls<A: Adapter>() -> (Self, Certificate) {
        let certificate = Certificate::new();
        let app = Self::app(Hub::builder());
        let (served, config) = (app.clone(), certificate.server(&["h2", "http/1.1"]));
        let serve = async |listener, begun| {
            tokio::select! {
                outcome = A::serve_tls(served, listener, config) => outcome,
                () = begun => Ok(()),
            }
        };
        (Self::of(app, Server::start(serve)), certificate)
    }

    /// The same, with a client being let go when it takes nothing for this long.
    pub(super) fn with_write_timeout<A: Adapter>(timeout: Duration) -> Self {
        let app = Self::app(Hub::builder()).with_write_timeout(timeout);
        let served = app.clone();
        let server = Server::start(async |listener, begun| A::serve(served, listener, begun).await);
        Self::of(app, server)
    }

    fn app(hub: HubBuilder) -> App {
        App::new(hub.retry(None).build())
    }

    fn of(app: App, server: Server) -> Self {
        Self { hub: app.hub().clone(), app, server }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    #[track_caller]
    pub(super) fn get(&self, target: &str) -> impl Future<Output = Response> + use<> {
        self.send(Request::get(target))
    }

    #[track_caller]
    pub(super) fn send(&self, request: Request) -> impl Future<Output = Response> + use<> {
        Response::to(self.addr(), request)
    }

    /// Opens a stream and reads its status event.
    #[track_caller]
    pub(super) fn follow(&self, target: &str) -> impl Future<Output = Response> + use<> {
        let response = self.get(target);
        async move {
            let mut response = response.await;
            assert_eq!(response.status(), 200);
            let first = response.next_message().await;
            assert_eq!(first.event(), STATUS_EVENT);
            response
        }
    }

    #[track_caller]
    pub(super) fn publish(&self, topic: &str, data: &str) -> String {
        crate::checker::Entry::publish(&self.hub, topic, data).id
    }
}

/// What a status event says.
#[track_caller]
pub(super) fn status_of(message: &Message) -> serde_json::Value {
    assert_eq!(message.event(), STATUS_EVENT, "{message:?}");
    serde_json::from_str(message.data()).expect("the status is JSON")
}

/// The data of messages.
pub(super) fn data_of(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::data).collect()
}
