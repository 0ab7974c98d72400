use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::client::{Client, Identity};
use crate::client_id::ClientId;
use crate::heartbeat::timer::HeartbeatTimer;
use crate::log::feed::Feed;
use crate::stream_limit::{OverLimit, StreamLimit, StreamLimits};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{HashMap, HashSet, Mutex};
use crate::topic::TopicPattern;

/// The open streams of a hub.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: Mutex<Entries>,
    count: AtomicUsize,
}

/// A client under its id, which is not stored twice: there may be many clients.
#[derive(Debug)]
struct ById(Arc<Client>);

impl Borrow<ClientId> for ById {
    fn borrow(&self) -> &ClientId {
        &self.0.id
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

#[derive(Debug, Default)]
struct Entries {
    clients: HashSet<ById>,
    principals: Groups,
    client_keys: Groups,
    /// Those of the clients that neither limits count nor presence shows. There are few, so the others do not pay for it.
    observers: HashSet<ClientId>,
    /// When the newest client connected.
    newest: u64,
}

/// The clients that have something in common, by its name.
#[derive(Debug, Default)]
struct Groups(HashMap<Arc<str>, HashSet<ClientId>>);

impl Groups {
    fn enter(&mut self, name: Option<&Arc<str>>, id: ClientId) {
        if let Some(name) = name {
            self.0.entry(name.clone()).or_default().insert(id);
        }
    }

    fn leave(&mut self, name: Option<&Arc<str>>, id: ClientId) {
        if let Some(name) = name
            && let Some(ids) = self.0.get_mut(name)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.0.remove(name);
            }
        }
    }

    fn size(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, HashSet::len)
    }
}

/// A client that was entered, and those that must end because of it.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) client: Arc<Client>,
    pub(crate) superseded: Vec<Arc<Client>>,
}

impl Entries {
    /// When a client connects, by the wall clock and after all others: which is older must not change when the clock is set
    /// back.
    fn connects_at(&mut self, micros: u64) -> u64 {
        self.newest = micros.max(self.newest + 1);
        self.newest
    }

    /// The clients of a group that its limit counts.
    fn group(&self, of: StreamLimit, name: &str) -> impl Iterator<Item = &Arc<Client>> {
        let groups = match of {
            StreamLimit::Principal => Some(&self.principals),
            StreamLimit::ClientKey => Some(&self.client_keys),
            StreamLimit::Topic => None,
        };
        let ids = groups.and_then(|groups| groups.0.get(name)).into_iter().flatten();
        let ids = ids.filter(|id| !self.observers.contains(*id));
        ids.filter_map(|id| self.clients.get(id)).map(|ById(client)| client)
    }

    /// Makes room for one more of a group: returns those that must end for it.
    fn make_room(
        &self,
        of: StreamLimit,
        name: Option<&Arc<str>>,
        most: usize,
        over: OverLimit,
    ) -> Result<Vec<Arc<Client>>, StreamLimit> {
        let Some(name) = name.filter(|_| most < usize::MAX) else { return Ok(Vec::new()) };
        match over {
            OverLimit::Supersede => {
                // Those that are about to end have made room already.
                let open = self.group(of, name).filter(|client| !client.is_ending());
                let mut open: Vec<_> = open.cloned().collect();
                open.sort_by_key(|client| client.order());
                open.truncate((open.len() + 1).saturating_sub(most));
                Ok(open)
            }
            _ if self.group(of, name).count() < most => Ok(Vec::new()),
            _ => Err(of),
        }
    }
}

impl Registry {
    pub(crate) fn enter(
        &self,
        feed: Arc<Feed>,
        identity: Identity,
        heartbeat: HeartbeatTimer,
        position: u64,
        limits: &StreamLimits,
    ) -> Result<Entered, StreamLimit> {
        let mut entries = self.entries.lock();
        let is_observer = identity.is_observer;
        let limits = if is_observer { &StreamLimits::NONE } else { limits };
        let StreamLimits { of_principal, of_client_key, over, .. } = *limits;
        let principal = identity.principal.as_ref();
        let mut superseded =
            entries.make_room(StreamLimit::Principal, principal, of_principal, over)?;
        let client_key = identity.client_key.clone();
        let key = client_key.as_ref();
        superseded.extend(entries.make_room(StreamLimit::ClientKey, key, of_client_key, over)?);
        let id = loop {
            let id = ClientId::random();
            if !entries.clients.contains(&id) {
                break id;
            }
        };
        let mut client = Client::new(id, feed, identity, heartbeat, position);
        client.connected_at = entries.connects_at(client.connected_at);
        let client = Arc::new(client);
        entries.principals.enter(client.principal.as_ref(), id);
        entries.client_keys.enter(client_key.as_ref(), id);
        if is_observer {
            entries.observers.insert(id);
        }
        entries.clients.insert(ById(client.clone()));
        self.count.store(entries.clients.len(), Ordering::Relaxed);
        Ok(Entered { client, superseded })
    }

    pub(crate) fn leave(&self, client: &Client, client_key: Option<&Arc<str>>) {
        let mut entries = self.entries.lock();
        let removed = entries.clients.take(&client.id);
        entries.principals.leave(client.principal.as_ref(), client.id);
        entries.client_keys.leave(client_key, client.id);
        entries.observers.remove(&client.id);
        // After a wave of clients the table gives its memory back.
        if entries.clients.len() < entries.clients.capacity() / 8 {
            entries.clients.shrink_to_fit();
            entries.principals.0.shrink_to_fit();
            entries.client_keys.0.shrink_to_fit();
        }
        self.count.store(entries.clients.len(), Ordering::Relaxed);
        drop(entries);
        drop(removed);
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn count_of_principal(&self, principal: &str) -> usize {
        self.entries.lock().principals.size(principal)
    }

    /// How many streams of a group are not about to end; of those that are newer than one, if there is one.
    pub(crate) fn count_of(
        &self,
        of: StreamLimit,
        name: &str,
        newer_than: Option<(u64, Option<ClientId>)>,
    ) -> usize {
        let entries = self.entries.lock();
        let open = entries.group(of, name).filter(|client| !client.is_ending());
        let is_newer = |client: &&Arc<Client>| {
            let (at, id) = client.order();
            newer_than.is_none_or(|older| (at, Some(id)) > older)
        };
        open.filter(is_newer).count()
    }

    /// The oldest stream of a group that is not about to end.
    pub(crate) fn oldest(&self, of: StreamLimit, name: &str) -> Option<Arc<Client>> {
        let entries = self.entries.lock();
        let open = entries.group(of, name).filter(|client| !client.is_ending());
        open.min_by_key(|client| client.order()).cloned()
    }

    #[cfg(test)]
    pub(crate) fn principals(&self) -> usize {
        self.entries.lock().principals.0.len()
    }

    pub(crate) fn ids(&self) -> Vec<ClientId> {
        self.entries.lock().clients.iter().map(|ById(client)| client.id).collect()
    }

    /// Copies the clients, so that the caller does nothing under the lock.
    pub(crate) fn select(&self, filter: impl Fn(&Client) -> bool) -> Vec<Arc<Client>> {
        let entries = self.entries.lock();
        let clients = entries.clients.iter().map(|ById(client)| client);
        clients.filter(|client| filter(client)).cloned().collect()
    }

    /// Observers are among them.
    pub(crate) fn of_principal(&self, principal: &str) -> Vec<Arc<Client>> {
        let entries = self.entries.lock();
        let ids = entries.principals.0.get(principal).into_iter().flatten();
        ids.filter_map(|id| entries.clients.get(id)).map(|ById(client)| client.clone()).collect()
    }

    /// Whether an open stream is an observer.
    pub(crate) fn is_observer(&self, id: ClientId) -> bool {
        self.entries.lock().observers.contains(&id)
    }

    /// How many observers are on a topic, or on a pattern by its own name. To be asked when its subscribers have been
    /// counted: an observer that was none of them any more was gone before.
    pub(crate) fn observers_on(&self, name: &TopicPattern) -> usize {
        let observers: Vec<_> = {
            let entries = self.entries.lock();
            let clients = entries.observers.iter().filter_map(|id| entries.clients.get(id));
            clients.map(|ById(client)| client.clone()).collect()
        };
        let is_on = |client: &&Arc<Client>| !client.is_gone() && client.names().contains(name);
        observers.iter().filter(is_on).count()
    }

    pub(crate) fn get(&self, id: ClientId) -> Option<Arc<Client>> {
        self.entries.lock().clients.get(&id).map(|ById(client)| client.clone())
    }

    /// Makes every stream look at the hub again.
    pub(crate) fn wake_all(&self) {
        for client in self.select(|_| true) {
            client.heartbeat.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_streams_is_that_in_which_they_came_also_when_the_clock_is_set_back() {
        let mut entries = Entries::default();
        let times = [100, 200, 50, 50, 300].map(|micros| entries.connects_at(micros));
        assert_eq!(times, [100, 200, 201, 202, 300]);
    }
}
