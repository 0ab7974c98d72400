//! The servers, and connections to the right one of them.

use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    ProtocolVersion, RedisError, RedisResult, cmd,
};
use tidings::backend::LogError;

use crate::error::refused;

/// One server, a cluster, or what Sentinels watch over.
#[derive(Clone)]
pub(crate) struct Endpoint {
    servers: Vec<ConnectionInfo>,
    topology: Topology,
    /// How long making a connection may take.
    pub(crate) connect_timeout: Duration,
    #[cfg(feature = "tls")]
    certificates: Option<redis::TlsCertificates>,
}

#[derive(Debug, Clone, PartialEq)]
enum Topology {
    Single,
    /// Each key has its node. The servers are some of the nodes.
    Cluster,
    /// The servers are Sentinels.
    #[cfg(feature = "sentinel")]
    Sentinel {
        primary: String,
    },
}

impl std::fmt::Debug for Endpoint {
    /// Without the credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers: Vec<_> = self.servers.iter().map(|server| server.addr().to_string()).collect();
        f.debug_struct("Endpoint")
            .field("servers", &servers)
            .field("topology", &self.topology)
            .finish()
    }
}

impl Endpoint {
    /// A key may move on to another node while it is looked for.
    const MAX_REDIRECTS: usize = 5;

    /// Reads an address: see the crate's documentation for its forms.
    pub(crate) fn parse(url: &str, connect_timeout: Duration) -> Result<Self, LogError> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| refused("address has no scheme"))?;
        let (scheme, topology) = match scheme.split_once('+') {
            Some((scheme, name @ ("cluster" | "sentinel"))) => (scheme, Some(name)),
            _ => (scheme, None),
        };
        let (topology, rest) = match topology {
            None => (Topology::Single, rest.to_owned()),
            Some("cluster") => (Topology::Cluster, rest.to_owned()),
            Some(_) => sentinel(rest)?,
        };
        let servers = match topology {
            Topology::Single => vec![server(url)?],
            _ => {
                each_host(scheme, &rest).iter().map(|url| server(url)).collect::<Result<_, _>>()?
            }
        };
        Ok(Self {
            servers,
            topology,
            connect_timeout,
            #[cfg(feature = "tls")]
            certificates: None,
        })
    }

    /// Trusts this authority, in PEM, and no other.
    #[cfg(feature = "tls")]
    pub(crate) fn trust(&mut self, authority: Vec<u8>) {
        self.certificates =
            Some(redis::TlsCertificates { client_tls: None, root_cert: Some(authority) });
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.servers[0].redis_settings().db()
    }

    /// Connects to the server that has this key. An answer that takes longer than `patience` is an error.
    pub(crate) async fn connect(
        &self,
        key: &str,
        patience: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        let client = self.client(key).await?;
        self.connect_by(&client, patience).await
    }

    /// Connects for Pub/Sub. Any node of a cluster will do: each hears what is published on the others.
    pub(crate) async fn subscribe(&self) -> RedisResult<PubSub> {
        match self.topology {
            Topology::Cluster => {
                self.any_node(|server| async { self.subscribe_by(self.open(server)?).await }).await
            }
            _ => self.subscribe_by(self.client("").await?).await,
        }
    }

    async fn subscribe_by(&self, client: Client) -> RedisResult<PubSub> {
        let info = client.get_connection_info();
        // PubSub knows only RESP2, in which messages come as answers do.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        let client = self.open(info.clone().set_redis_settings(settings))?;
        self.in_time(client.get_async_pubsub()).await
    }

    async fn connect_by(
        &self,
        client: &Client,
        patience: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(patience));
        self.in_time(client.get_multiplexed_async_connection_with_config(&config)).await
    }

    async fn client(&self, key: &str) -> RedisResult<Client> {
        match &self.topology {
            Topology::Single => self.open(self.servers[0].clone()),
            // The node that has the key is the one that does not redirect to another.
            Topology::Cluster => self.any_node(|server| self.redirected(server, key)).await,
            #[cfg(feature = "sentinel")]
            Topology::Sentinel { primary } => self.in_time(self.primary(primary)).await,
        }
    }

    /// Tries the nodes of the cluster in random order until one succeeds.
    async fn any_node<T, F>(&self, attempt: impl Fn(ConnectionInfo) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut outcome = Err((ErrorKind::InvalidClientConfig, "no address").into());
        let mut servers = self.servers.clone();
        fastrand::shuffle(&mut servers);
        for server in servers {
            outcome = attempt(server).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn redirected(&self, mut server: ConnectionInfo, key: &str) -> RedisResult<Client> {
        for _ in 0..Self::MAX_REDIRECTS {
            let client = self.open(server.clone())?;
            let mut connection = self.connect_by(&client, self.connect_timeout).await?;
            let asked = cmd("XLEN").arg(key).query_async::<u64>(&mut connection).await;
            let Err(error) = asked else { return Ok(client) };
            let Some((addr, _)) = error.redirect_node() else { return Err(error) };
            server = moved(&server, addr).ok_or((
                ErrorKind::Parse,
                "no address of a node",
                addr.to_owned(),
            ))?;
        }
        Err((ErrorKind::ClusterConnectionNotFound, "too many redirections").into())
    }

    #[cfg(feature = "sentinel")]
    async fn primary(&self, name: &str) -> RedisResult<Client> {
        use redis::TlsMode;
        use redis::sentinel::{SentinelClientBuilder, SentinelServerType};

        let settings = self.servers[0].redis_settings();
        let sentinels = self.servers.iter().map(|server| server.addr().clone());
        let mut builder = SentinelClientBuilder::new(sentinels, name, SentinelServerType::Master)?
            .set_client_to_redis_db(settings.db())
            .set_client_to_redis_protocol(settings.protocol())
            .set_client_to_redis_tcp_settings(tcp_settings())
            .set_client_to_sentinel_tcp_settings(tcp_settings());
        if matches!(self.servers[0].addr(), ConnectionAddr::TcpTls { .. }) {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
        }
        #[cfg(feature = "tls")]
        if let Some(certificates) = &self.certificates {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates.clone());
        }
        if let Some(username) = settings.username() {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        builder.build()?.async_get_client().await
    }

    fn open(&self, server: ConnectionInfo) -> RedisResult<Client> {
        let server = server.set_tcp_settings(tcp_settings());
        #[cfg(feature = "tls")]
        {
            use rustls::crypto::{CryptoProvider, ring};

            // The client panics where the process has no default and several providers are built in.
            if CryptoProvider::get_default().is_none() {
                // Another thread may be faster, which is as good.
                let _ = ring::default_provider().install_default();
            }
            if let Some(certificates) = &self.certificates {
                return Client::build_with_tls(server, certificates.clone());
            }
        }
        Client::open(server)
    }

    async fn in_time<T>(&self, work: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        in_time(self.connect_timeout, work).await
    }
}

pub(crate) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

fn tcp_settings() -> TcpSettings {
    const UNANSWERED: Duration = Duration::from_secs(10);

    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(2));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let settings = settings.set_user_timeout(UNANSWERED);
    settings
}

fn server(url: &str) -> Result<ConnectionInfo, LogError> {
    if cfg!(not(feature = "tls")) && url.starts_with("rediss:") {
        return Err(refused("address needs the feature `tls` of tidings-redis"));
    }
    let error = |error: RedisError| refused(format_args!("address is not valid: {error}"));
    let server = url.into_connection_info().map_err(error)?;
    match server.addr().is_supported() {
        true => Ok(server),
        false => Err(refused("address is not supported on this system")),
    }
}

/// The addresses in `user:password@host,host:port/path`, each with the credentials and the path.
fn each_host(scheme: &str, rest: &str) -> Vec<String> {
    let (hosts, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (credentials, hosts) = match hosts.rfind('@') {
        Some(at) => hosts.split_at(at + 1),
        None => ("", hosts),
    };
    hosts.split(',').map(|host| format!("{scheme}://{credentials}{host}{path}")).collect()
}

/// Takes the primary's name out of `hosts/name/database?settings`.
#[cfg(feature = "sentinel")]
fn sentinel(rest: &str) -> Result<(Topology, String), LogError> {
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let end = path.find(['/', '?']).unwrap_or(path.len());
    let (primary, settings) = path.split_at(end);
    if primary.is_empty() {
        return Err(refused("address names no primary after the sentinels, as in `…:26379/name`"));
    }
    Ok((Topology::Sentinel { primary: primary.to_owned() }, format!("{hosts}{settings}")))
}

#[cfg(not(feature = "sentinel"))]
fn sentinel(_: &str) -> Result<(Topology, String), LogError> {
    Err(refused("address needs the feature `sentinel` of tidings-redis"))
}

/// The same server at the address that a redirection names. Without a host, it is the host that has answered.
fn moved(server: &ConnectionInfo, addr: &str) -> Option<ConnectionInfo> {
    let (new_host, new_port) = addr.rsplit_once(':')?;
    let new_port = new_port.parse().ok()?;
    let mut new_addr = server.addr().clone();
    match &mut new_addr {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            if !new_host.is_empty() {
                *host = new_host.trim_start_matches('[').trim_end_matches(']').to_owned();
            }
            *port = new_port;
        }
        _ => return None,
    }
    Some(server.clone().set_addr(new_addr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Endpoint, String> {
        Endpoint::parse(url, Duration::from_secs(1)).map_err(|error| error.to_string())
    }

    fn addresses(endpoint: &Endpoint) -> Vec<String> {
        endpoint.servers.iter().map(|server| server.addr().to_string()).collect()
    }

    #[test]
    fn a_cluster_is_several_servers_with_the_same_credentials() {
        let endpoint = parse("redis+cluster://me:s%40cret@a:7000,b,c:7002?protocol=resp3").unwrap();
        assert_eq!(endpoint.topology, Topology::Cluster);
        assert_eq!(addresses(&endpoint), ["a:7000", "b:6379", "c:7002"]);
        for server in &endpoint.servers {
            let settings = server.redis_settings();
            assert_eq!(settings.username(), Some("me"));
            assert_eq!(settings.password(), Some("s@cret"));
            assert_eq!(settings.protocol(), ProtocolVersion::RESP3);
        }
        assert!(!format!("{endpoint:?}").contains("cret"), "{endpoint:?}");
    }

    #[cfg(feature = "sentinel")]
    #[test]
    fn an_address_of_sentinels_ends_in_the_primarys_name() {
        let endpoint = parse("redis+sentinel://:secret@a:26379,b:26379/main/2?protocol=3").unwrap();
        assert_eq!(endpoint.topology, Topology::Sentinel { primary: "main".to_owned() });
        assert_eq!(addresses(&endpoint), ["a:26379", "b:26379"]);
        assert_eq!(endpoint.servers[1].redis_settings().db(), 2);
        assert_eq!(endpoint.servers[1].redis_settings().password(), Some("secret"));
        assert!(parse("redis+sentinel://a:26379").unwrap_err().contains("names no primary"));
    }

    #[test]
    fn a_malformed_address_is_refused() {
        for url in ["localhost", "http://localhost", "redis+mesh://a", "redis://a:b", ""] {
            let error = parse(url).unwrap_err();
            assert!(error.starts_with("redis: address"), "{url}: {error}");
        }
        #[cfg(not(feature = "tls"))]
        assert!(parse("rediss://localhost").unwrap_err().contains("feature `tls`"));
    }

    #[test]
    fn a_redirection_changes_only_the_address() {
        let server = parse("redis://:secret@a:7000").unwrap().servers.remove(0);
        for (to, addr) in [("10.0.0.2:7001", "10.0.0.2:7001"), (":7002", "a:7002")] {
            let moved = moved(&server, to).unwrap();
            assert_eq!(moved.addr().to_string(), addr);
            assert_eq!(moved.redis_settings().password(), Some("secret"));
        }
        assert!(moved(&server, "nowhere").is_none());
    }
}
