use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{AddressPermit, Connections, Shared};

/// The right of one connection to exist. Whatever has the connection has it, and drops it with the connection. It is as
/// large as a pointer.
///
/// The default is the permit of a connection that nobody counts.
#[derive(Debug, Default)]
pub struct Permit(pub(super) Option<Arc<Holder>>);

/// What a permit knows of its connection.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) shared: Arc<Shared>,
    #[expect(dead_code, reason = "it counts until it is dropped")]
    pub(super) address: Option<AddressPermit>,
    /// What a proxy has said.
    pub(super) client: Option<SocketAddr>,
    /// It counts for the connection's request only, whose proxy named the address.
    pub(super) is_of_request: bool,
}

impl Permit {
    /// The client's address, if a proxy has said it.
    pub(crate) fn client(&self) -> Option<SocketAddr> {
        self.0.as_ref().and_then(|holder| holder.client)
    }

    /// A proxy has said who the client is. Returns whether there is room for it.
    pub(crate) fn set_client(&mut self, client: SocketAddr, connections: &Connections) -> bool {
        let address = match connections.limits().connections_per_address {
            Some(_) => match connections.count_address(client.ip()) {
                Some(address) => Some(address),
                None => return false,
            },
            None => None,
        };
        let shared = connections.shared.clone();
        self.set_holder(Holder { shared, address, client: Some(client), is_of_request: false });
        true
    }

    /// Has the connection count for the address of its request, until the connection is readmitted.
    pub fn set_address(&mut self, address: AddressPermit) {
        let shared = address.shared.clone();
        let address = Some(address);
        self.set_holder(Holder { shared, address, client: None, is_of_request: true });
    }

    pub(super) fn set_holder(&mut self, holder: Holder) {
        self.0 = Some(Arc::new(holder));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(holder) = &self.0 {
            holder.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
