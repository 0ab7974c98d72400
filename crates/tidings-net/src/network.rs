use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network of IP addresses, or a single address: `10.0.0.0/8`, `::1`.
///
/// ```
/// use tidings_net::Network;
///
/// let network: Network = "192.168.0.0/16".parse()?;
/// assert!(network.contains("192.168.7.7".parse()?));
/// assert!(!network.contains("10.0.0.1".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    addr: IpAddr,
    /// How many leading bits count.
    length: u32,
}

impl Network {
    /// Whether an address belongs to it. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) counts as IPv4.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr.to_canonical(), addr.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let bits = u32::from(own) ^ u32::from(other);
                bits.checked_shr(32 - self.length).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let bits = u128::from(own) ^ u128::from(other);
                bits.checked_shr(128 - self.length).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl From<IpAddr> for Network {
    fn from(addr: IpAddr) -> Self {
        let addr = addr.to_canonical();
        Self { addr, length: if addr.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let error = || ParseNetworkError(text.to_owned());
        let (addr, length) = text.split_once('/').map_or((text, None), |(addr, n)| (addr, Some(n)));
        let mut network = Self::from(addr.parse::<IpAddr>().map_err(|_| error())?);
        if let Some(length) = length {
            let length: u32 = length.parse().map_err(|_| error())?;
            if length > network.length {
                return Err(error());
            }
            network.length = length;
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.length)
    }
}

/// A text is not a network of IP addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseNetworkError(String);

impl fmt::Display for ParseNetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an IP address nor a network such as 10.0.0.0/8", self.0)
    }
}

impl Error for ParseNetworkError {}
