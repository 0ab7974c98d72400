//! Which public types threads can share, and which they can only send to each other: checked when this is compiled.

use tidings_actix_web::{Error, SseRequest};

const fn shared<T: Send + Sync>() {}

const _: () = {
    shared::<Error>();
    shared::<SseRequest>();
    // Responses and servers of actix-web stay on their worker.
};
