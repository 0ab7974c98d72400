//! The limits of streams over all nodes of a cluster.
//!
//! Each node admits a stream by what it has itself, at once. Then it asks the others. So for the time of a question and its
//! answers there may be more streams than a limit allows, and no longer, unless a node does not answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use super::shared::Shared;
use crate::client::Client;
use crate::client_id::ClientId;
use crate::cluster::Cluster;
use crate::cluster::ask::Ask;
use crate::cluster::signal::Question;
use crate::end_reason::{End, EndReason};
use crate::stream_limit::{OverLimit, StreamLimit};
use crate::sync::Mutex;

/// A question to all nodes about one stream, which ends if it is one too many.
struct Census {
    shared: Weak<Shared>,
    of: StreamLimit,
    name: Arc<str>,
    client: ClientId,
    /// How many streams must be there for this one to be too many: itself among them, or, if newer ones supersede it, newer
    /// than itself.
    too_many: usize,
    /// `None` once it was answered.
    ask: Mutex<Option<Ask>>,
}

impl Shared {
    /// A stream was opened here.
    pub(crate) fn count_everywhere(&self, client: &Client, client_key: Option<&Arc<str>>) {
        if self.cluster.is_none() || self.registry.is_observer(client.id) {
            return;
        }
        let limits = &self.defaults.stream_limits;
        for (of, name, most) in [
            (StreamLimit::Principal, client.principal.as_ref(), limits.of_principal),
            (StreamLimit::ClientKey, client_key, limits.of_client_key),
        ] {
            let Some(name) = name.filter(|_| most < usize::MAX) else { continue };
            match limits.over {
                OverLimit::Supersede => {
                    let name = name.to_string();
                    // Each node looks at its oldest stream; so does this one.
                    drop(Cluster::new(self).ask(Question::Opened { of, name }));
                }
                _ => self.begin_census(of, name, client, None),
            }
        }
    }

    /// A stream was opened somewhere, and older ones may have to end for it.
    pub(crate) fn review_oldest(&self, of: StreamLimit, name: &str) {
        let limits = &self.defaults.stream_limits;
        let is_limited = match of {
            StreamLimit::Principal => limits.of_principal < usize::MAX,
            StreamLimit::ClientKey => limits.of_client_key < usize::MAX,
            StreamLimit::Topic => false,
        };
        if let Some(oldest) = self.registry.oldest(of, name).filter(|_| is_limited) {
            self.begin_census(of, &name.into(), &oldest, Some(oldest.order()));
        }
    }

    fn begin_census(
        &self,
        of: StreamLimit,
        name: &Arc<str>,
        client: &Client,
        newer_than: Option<(u64, ClientId)>,
    ) {
        let limits = &self.defaults.stream_limits;
        let most = match of {
            StreamLimit::Principal => limits.of_principal,
            StreamLimit::ClientKey => limits.of_client_key,
            StreamLimit::Topic => limits.of_topic,
        };
        let newer_than = newer_than.map(|(at, id)| (at, id.to_string()));
        let too_many = if newer_than.is_some() { most } else { most.saturating_add(1) };
        let question = Question::Streams { of, name: name.to_string(), newer_than };
        let census = Arc::new(Census {
            shared: self.this.clone(),
            of,
            name: name.clone(),
            client: client.id,
            too_many,
            ask: Mutex::new(Some(Cluster::new(self).ask(question))),
        });
        census.look();
    }
}

impl Census {
    /// Looks for the answer. The nodes that have not answered have been waited for.
    fn look(self: &Arc<Self>) {
        let mut ask = self.ask.lock();
        let Some(asked) = ask.as_mut() else { return };
        let waker = Waker::from(self.clone());
        let Poll::Ready(answer) = Pin::new(asked).poll(&mut Context::from_waker(&waker)) else {
            return;
        };
        let asked = ask.take();
        drop(ask);
        drop(asked);
        if answer.total >= self.too_many
            && let Some(shared) = self.shared.upgrade()
            && let Some(client) = shared.registry.get(self.client)
        {
            self.end(&shared, &client);
        }
    }

    fn end(&self, shared: &Shared, client: &Client) {
        if shared.defaults.stream_limits.over == OverLimit::Supersede {
            client.end(EndReason::Superseded);
            return shared.review_oldest(self.of, &self.name);
        }
        client.end_as(End { limit: Some(self.of), ..End::new(EndReason::Limited) });
    }
}

/// All nodes have answered, or have had their time.
impl Wake for Census {
    fn wake(self: Arc<Self>) {
        self.look();
    }
}
