use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use super::{Connections, Shared};

/// A client's address has too many connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooMany(pub(super) ());

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client's address has too many connections")
    }
}

impl Error for TooMany {}

/// Counts for an address until it is dropped.
#[derive(Debug)]
pub struct AddressPermit {
    pub(super) shared: Arc<Shared>,
    addr: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(count) = state.addresses.get_mut(&self.addr) {
            *count -= 1;
            if *count == 0 {
                state.addresses.remove(&self.addr);
            }
        }
    }
}

impl Connections {
    /// Counts a request for the address that its proxy named, if that is limited.
    ///
    /// # Errors
    ///
    /// If the address has too many connections: the request must be refused.
    pub fn admit_address(&self, addr: IpAddr) -> Result<Option<AddressPermit>, TooMany> {
        if self.limits().connections_per_address.is_none() {
            return Ok(None);
        }
        self.count_address(addr).map(Some).ok_or_else(|| {
            self.refuse();
            TooMany(())
        })
    }

    /// Counts something for an address; `None` if it has too much.
    pub(super) fn count_address(&self, addr: IpAddr) -> Option<AddressPermit> {
        let most = self.limits().connections_per_address.unwrap_or(usize::MAX);
        let addr = network_of(addr);
        let mut state = self.shared.state();
        let count = state.addresses.entry(addr).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(AddressPermit { shared: self.shared.clone(), addr })
    }
}

/// What counts as one client: an IPv4 address, or a network of 64 bits of IPv6, which a provider gives to one customer.
fn network_of(addr: IpAddr) -> IpAddr {
    match addr.to_canonical() {
        IpAddr::V4(addr) => addr.into(),
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Options};

    #[test]
    fn an_address_of_ipv6_counts_with_its_network() {
        let limits = Limits::default().connections_per_address(1);
        let connections = Connections::new(&Options { limits, ..Options::default() });
        let addr = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = connections.admit_address(addr("2001:db8::1")).unwrap();
        assert!(connections.admit_address(addr("2001:db8::2:1")).is_err());
        let _other = connections.admit_address(addr("2001:db8:0:1::1")).unwrap();
        let _v4 = connections.admit_address(addr("192.0.2.1")).unwrap();
        assert!(connections.admit_address(addr("::ffff:192.0.2.1")).is_err());
        drop(one);
        connections.admit_address(addr("2001:db8::2:1")).unwrap();
    }
}
