//! Which public types threads can share, and which they can only send to each other: checked when this is compiled.

use tidings_actix::StreamBody;

const fn sent<T: Send>() {}

const _: () = {
    sent::<StreamBody<tidings::Subscription>>();
};
