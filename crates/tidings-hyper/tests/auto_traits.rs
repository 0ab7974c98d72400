//! Which public types threads can share, and which they can only send to each other: checked when this is compiled.

use tidings_hyper::{RequestBody, RequestBodyError, Server, SubscriptionBody};

const fn shared<T: Send + Sync>() {}
const fn sent<T: Send>() {}

const _: () = {
    shared::<RequestBodyError>();
    sent::<RequestBody>();
    sent::<SubscriptionBody>();
    sent::<Server<tokio::net::TcpListener>>();
};
