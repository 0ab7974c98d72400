//! Which public types can be shared between threads, and which only sent: a promise that no compiler keeps by itself.

use tidings::error::{
    DecodeError, DecodeErrorKind, Error, EventError, EventErrorKind, Field, FieldError,
    FieldErrorKind, PublishError, PublishErrorKind, StreamError, StreamErrorKind, SubscribeError,
    SubscribeErrorKind,
};
use tidings::response::{ErrorFormat, ErrorResponse};
use tidings::transport::{ApplicationTask, Batch, Cohort, CohortKey, Lagging};
use tidings::*;

const fn shared<T: Send + Sync>() {}
const fn sent<T: Send>() {}

const _: () = {
    shared::<Hub>();
    shared::<HubBuilder>();
    shared::<Subscribe>();
    shared::<Publish>();
    shared::<Published>();
    shared::<Event>();
    shared::<EventId>();
    shared::<EventName>();
    shared::<Comment>();
    shared::<Topic>();
    shared::<TopicPattern>();
    shared::<IdempotencyKey>();
    shared::<Decoder>();
    shared::<Message>();
    shared::<ClientId>();
    shared::<ParseClientIdError>();
    shared::<ClientInfo>();
    shared::<ClientHandle>();
    shared::<Clients<'_>>();
    shared::<EndReason>();
    shared::<Health>();
    shared::<Link>();
    shared::<Metrics>();
    shared::<History>();
    shared::<EventHistory>();
    shared::<Retention>();
    shared::<Resume>();
    shared::<LastEventId>();
    shared::<ResetReason>();
    shared::<ServerEvent>();
    shared::<SharedSnapshot>();
    shared::<Snapshot>();
    shared::<Status>();
    shared::<clock::Clock>();
    shared::<clock::ManualClock>();
    shared::<cluster::Cluster<'_>>();
    shared::<cluster::Answer>();
    shared::<cluster::NodeId>();
    shared::<cluster::NodeInfo>();
    shared::<backend::Epoch>();
    shared::<backend::LogError>();
    shared::<backend::LogErrorKind>();
    shared::<backend::Origin>();
    shared::<backend::Page>();
    shared::<backend::Reach>();
    shared::<backend::Read>();
    shared::<backend::Start>();
    shared::<backend::Append>();
    shared::<backend::Appended>();
    shared::<backend::Record>();
    shared::<backend::RecordError>();
    shared::<backend::Refused>();
    shared::<backend::Replica>();
    shared::<backend::Receiver<u64>>();
    shared::<backend::Reply<u64>>();
    shared::<backend::Envelope>();
    shared::<backend::PatternMap<u64>>();
    shared::<DecodeError>();
    shared::<DecodeErrorKind>();
    shared::<Error>();
    shared::<EventError>();
    shared::<EventErrorKind>();
    shared::<Field>();
    shared::<FieldError>();
    shared::<FieldErrorKind>();
    shared::<PublishError>();
    shared::<PublishErrorKind>();
    shared::<StreamError>();
    shared::<StreamErrorKind>();
    shared::<SubscribeError>();
    shared::<SubscribeErrorKind>();
    shared::<ErrorFormat>();
    shared::<ErrorResponse>();
    shared::<Batch>();
    shared::<CohortKey>();
    shared::<Lagging>();
    // They may hold a future of the application.
    sent::<Subscription>();
    sent::<Messages>();
    sent::<ReadHistory>();
    sent::<EventStream<std::iter::Empty<Event>>>();
    sent::<cluster::Ask>();
    sent::<Cohort>();
    sent::<ApplicationTask>();
};
