use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::client::{Client, Identity};
use crate::client_id::ClientId;
use crate::heartbeat::timer::HeartbeatTimer;
use crate::log::feed::Feed;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{HashMap, HashSet, Mutex};

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
    principals: HashMap<Arc<str>, HashSet<ClientId>>,
}

impl Registry {
    pub(crate) fn enter(
        &self,
        feed: Arc<Feed>,
        identity: Identity,
        heartbeat: HeartbeatTimer,
        position: u64,
    ) -> Arc<Client> {
        let mut entries = self.entries.lock();
        let id = loop {
            let id = ClientId::random();
            if !entries.clients.contains(&id) {
                break id;
            }
        };
        let client = Arc::new(Client::new(id, feed, identity, heartbeat, position));
        if let Some(principal) = &client.principal {
            entries.principals.entry(principal.clone()).or_default().insert(id);
        }
        entries.clients.insert(ById(client.clone()));
        self.count.store(entries.clients.len(), Ordering::Relaxed);
        client
    }

    pub(crate) fn leave(&self, client: &Client) {
        let mut entries = self.entries.lock();
        let removed = entries.clients.take(&client.id);
        if let Some(principal) = &client.principal
            && let Some(ids) = entries.principals.get_mut(principal)
        {
            ids.remove(&client.id);
            if ids.is_empty() {
                entries.principals.remove(principal);
            }
        }
        // After a wave of clients the table gives its memory back.
        if entries.clients.len() < entries.clients.capacity() / 8 {
            entries.clients.shrink_to_fit();
            entries.principals.shrink_to_fit();
        }
        self.count.store(entries.clients.len(), Ordering::Relaxed);
        drop(entries);
        drop(removed);
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn count_of_principal(&self, principal: &str) -> usize {
        self.entries.lock().principals.get(principal).map_or(0, HashSet::len)
    }

    #[cfg(test)]
    pub(crate) fn principals(&self) -> usize {
        self.entries.lock().principals.len()
    }

    /// Copies the clients, so that the caller does nothing under the lock.
    pub(crate) fn select(&self, filter: impl Fn(&Client) -> bool) -> Vec<Arc<Client>> {
        let entries = self.entries.lock();
        let clients = entries.clients.iter().map(|ById(client)| client);
        clients.filter(|client| filter(client)).cloned().collect()
    }

    /// The clients that have something on its way to them, with the time since which they have taken none of it.
    pub(crate) fn stalled(&self) -> Vec<(u64, Arc<Client>)> {
        let entries = self.entries.lock();
        let clients = entries.clients.iter().map(|ById(client)| client);
        clients
            .filter_map(|client| Some((client.outlet.stalled_since()?, client.clone())))
            .collect()
    }

    pub(crate) fn of_principal(&self, principal: &str) -> Vec<Arc<Client>> {
        let entries = self.entries.lock();
        let ids = entries.principals.get(principal).into_iter().flatten();
        ids.filter_map(|id| entries.clients.get(id)).map(|ById(client)| client.clone()).collect()
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
