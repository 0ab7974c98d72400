use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

/// TLS of a server.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// TLS with this configuration.
    pub fn new(config: impl Into<Arc<ServerConfig>>) -> Self {
        Self(config.into())
    }

    /// What begins a handshake now.
    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.0.clone().into()
    }
}
