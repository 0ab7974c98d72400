use std::net::SocketAddr;

use tidings::{Hub, HubBuilder, Message, STATUS_EVENT};

use super::{Adapter, App, Server};
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
        let hub = hub.retry(None).build();
        let app = App::new(hub.clone());
        let served = app.clone();
        let server = Server::start(async |listener, begun| A::serve(served, listener, begun).await);
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
