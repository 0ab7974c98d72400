use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
pub use tokio_rustls::server::TlsStream;

use crate::Io;

/// TLS for a server, whose certificates can be replaced while it runs.
///
/// It is made from a [`ServerConfig`] of rustls 0.23, or an [`Arc`] of it. Clones share the
/// configuration, so a clone that is kept replaces it for the server.
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
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Replaces the configuration: new connections have the new certificates.
    pub fn reload(&self, config: impl Into<Arc<ServerConfig>>) {
        let config = with_protocols(config.into());
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// Makes the handshake, with the configuration that there is now.
    pub(crate) async fn accept<IO: Io>(&self, io: IO) -> io::Result<TlsStream<IO>> {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        TlsAcceptor::from(config).accept(io).await
    }
}

impl From<ServerConfig> for Tls {
    fn from(config: ServerConfig) -> Self {
        Arc::new(config).into()
    }
}

impl From<Arc<ServerConfig>> for Tls {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(with_protocols(config))))
    }
}

/// Offers HTTP/2 and HTTP/1.1 by ALPN, unless the application has said what to offer.
fn with_protocols(mut config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if config.alpn_protocols.is_empty() {
        Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    config
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
