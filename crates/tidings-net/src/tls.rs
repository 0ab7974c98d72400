use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
pub use tokio_rustls::server::TlsStream;

use crate::Io;

/// TLS for a server, whose certificates can be replaced while it runs.
///
/// It is made from a [`ServerConfig`] of rustls 0.23, or an [`Arc`] of it. Clones share the
/// configuration, so a clone that is kept replaces it for the server. If the configuration names no protocols
/// (`alpn_protocols`), HTTP/2 and HTTP/1.1 are offered; a server without the feature `http2` never offers HTTP/2.
///
/// ```
/// use tidings_net::Tls;
/// use tidings_net::rustls::ServerConfig;
///
/// fn replace(tls: &Tls, renewed: ServerConfig) {
///     // New connections have it; those that are open stay as they are.
///     tls.reload(renewed);
/// }
/// ```
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Configuration>>);

struct Configuration {
    current: Arc<ServerConfig>,
    /// The server does not speak HTTP/2.
    is_without_http2: bool,
}

impl Configuration {
    /// Returns the one before, which must be dropped without the lock: it holds what the application has made.
    #[must_use]
    fn replace(&mut self, config: Arc<ServerConfig>) -> Arc<ServerConfig> {
        let config = with_protocols(config, self.is_without_http2);
        std::mem::replace(&mut self.current, config)
    }
}

impl Tls {
    /// Replaces the configuration: new connections have the new certificates.
    pub fn reload(&self, config: impl Into<Arc<ServerConfig>>) {
        let config = config.into();
        let before = self.write().replace(config);
        drop(before);
    }

    /// For a server that is built without HTTP/2: does not offer it, whatever the configuration says.
    pub fn do_not_offer_http2(&self) {
        let mut configuration = self.write();
        configuration.is_without_http2 = true;
        // In one step: a certificate may be renewed meanwhile.
        let current = configuration.current.clone();
        let before = configuration.replace(current);
        drop(configuration);
        drop(before);
    }

    fn config(&self) -> Arc<ServerConfig> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).current.clone()
    }

    fn write(&self) -> RwLockWriteGuard<'_, Configuration> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the handshake, with the configuration that there is now.
    pub(crate) async fn accept<IO: Io>(&self, io: IO) -> io::Result<TlsStream<IO>> {
        TlsAcceptor::from(self.config()).accept(io).await
    }
}

impl From<ServerConfig> for Tls {
    fn from(config: ServerConfig) -> Self {
        Arc::new(config).into()
    }
}

impl From<Arc<ServerConfig>> for Tls {
    fn from(config: Arc<ServerConfig>) -> Self {
        let current = with_protocols(config, false);
        Self(Arc::new(RwLock::new(Configuration { current, is_without_http2: false })))
    }
}

/// Offers HTTP/2 and HTTP/1.1 by ALPN, unless the application has said what to offer.
fn with_protocols(mut config: Arc<ServerConfig>, is_without_http2: bool) -> Arc<ServerConfig> {
    if config.alpn_protocols.is_empty() {
        Arc::make_mut(&mut config).alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    }
    if is_without_http2 && config.alpn_protocols.iter().any(|protocol| protocol == HTTP2) {
        Arc::make_mut(&mut config).alpn_protocols.retain(|protocol| protocol != HTTP2);
    }
    config
}

const HTTP2: &[u8] = b"h2";

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::server::ResolvesServerCertUsingSni;

    #[test]
    fn what_is_renewed_while_a_server_starts_without_http2_is_neither_lost_nor_offers_it() {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = builder.with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let tls = Tls::from(config.clone());
        tls.do_not_offer_http2();
        let is_done = AtomicBool::new(false);
        let wrong = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    tls.do_not_offer_http2();
                }
            });
            // Something that tells one configuration from another.
            let wrong = (0..20_000).find(|number| {
                let mut renewed = config.clone();
                renewed.send_tls13_tickets = *number;
                tls.reload(renewed);
                thread::yield_now();
                let current = tls.config();
                let offers = &current.alpn_protocols;
                current.send_tls13_tickets != *number || offers.contains(&HTTP2.to_vec())
            });
            is_done.store(true, Ordering::Relaxed);
            wrong
        });
        assert_eq!(wrong, None);
    }
}
