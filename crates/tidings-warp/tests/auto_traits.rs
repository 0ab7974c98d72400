//! Which public types threads can share, and which they can only send to each other: checked when this is compiled.

use tidings_warp::{Error, Serve, Sse, SseRequest};

const fn shared<T: Send + Sync>() {}
const fn sent<T: Send>() {}

const _: () = {
    shared::<Error>();
    shared::<SseRequest>();
    sent::<Sse>();
    sent::<Serve>();
};
