use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tidings::{Hub, HubBuilder, Message, STATUS_EVENT};

use super::{Adapter, App, Server, Shutdown};
use crate::tls::Certificate;
use crate::wire::{Request, Response};

/// An application that is served.
pub(super) struct Site {
    pub(super) hub: Hub,
    pub(super) app: App,
    pub(super) server: Server,
}

impl Site {
    /// Serves an application.
    pub(super) fn open<A: Adapter>() -> Self {
        Self::with::<A>(Hub::builder())
    }

    pub(super) fn with<A: Adapter>(hub: HubBuilder) -> Self {
        Self::serve(app(hub), A::serve)
    }

    /// The same, for clients that begin with HTTP/2 as well.
    pub(super) fn open_h2c<A: Adapter>() -> Self {
        Self::with_h2c::<A>(Hub::builder())
    }

    pub(super) fn with_h2c<A: Adapter>(hub: HubBuilder) -> Self {
        Self::serve(app(hub), A::serve_h2c)
    }

    /// The same, over TLS.
    pub(super) fn open_tls<A: Adapter>() -> (Self, Certificate) {
        let certificate = Certificate::new();
        let config = certificate.server(&["h2", "http/1.1"]);
        let site = Self::serve(app(Hub::builder()), async |app, listener, begun| {
            tokio::select! {
                outcome = A::serve_tls(app, listener, config) => outcome,
                () = begun => Ok(()),
            }
        });
        (site, certificate)
    }

    /// The same, with another time limit for writes.
    pub(super) fn with_write_timeout<A: Adapter>(timeout: Duration) -> Self {
        Self::serve(app(Hub::builder()).with_write_timeout(timeout), A::serve)
    }

    fn serve(
        app: App,
        serve: impl AsyncFnOnce(App, TcpListener, Shutdown) -> io::Result<()> + Send + 'static,
    ) -> Self {
        let (hub, served) = (app.hub().clone(), app.clone());
        let server = Server::start(async |listener, begun| serve(served, listener, begun).await);
        Self { hub, app, server }
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

/// An application whose streams have no `retry`, since that has jitter.
fn app(hub: HubBuilder) -> App {
    App::new(hub.retry(None).build())
}

/// The data of a status event.
#[track_caller]
pub(super) fn status_of(message: &Message) -> serde_json::Value {
    assert_eq!(message.event(), STATUS_EVENT, "{message:?}");
    serde_json::from_str(message.data()).expect("the status is JSON")
}

/// The names of messages.
pub(super) fn events_of(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::event).collect()
}

/// The data of messages.
pub(super) fn data_of(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::data).collect()
}
