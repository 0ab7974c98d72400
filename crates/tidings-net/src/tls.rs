use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

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
pub struct Tls(Arc<Configuration>);

struct Configuration {
    current: RwLock<Arc<ServerConfig>>,
    /// The server does not speak HTTP/2.
    is_without_http2: AtomicBool,
}

impl Tls {
    /// Replaces the configuration: new connections have the new certificates.
    pub fn reload(&self, config: impl Into<Arc<ServerConfig>>) {
        let is_without_http2 = self.0.is_without_http2.load(Ordering::Relaxed);
        let config = with_protocols(config.into(), is_without_http2);
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// For a server that is built without HTTP/2: does not offer it, whatever the configuration says.
    pub fn do_not_offer_http2(&self) {
        self.0.is_without_http2.store(true, Ordering::Relaxed);
        self.reload(self.config());
    }

    fn config(&self) -> Arc<ServerConfig> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
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
        let current = RwLock::new(with_protocols(config, false));
        Self(Arc::new(Configuration { current, is_without_http2: AtomicBool::new(false) }))
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
