//! A certificate for tests, and both ends of TLS with it.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, channel};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, server};

pub use tokio_rustls;

/// The host of the certificate.
pub(crate) const HOST: &str = "tidings.test";

/// A certificate that only clients made here trust.
#[derive(Debug)]
pub struct Certificate {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
    pem: [String; 2],
}

impl Certificate {
    /// Makes a certificate.
    pub fn new() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        Self {
            certificate: cert.der().clone(),
            key: signing_key.serialize_der(),
            pem: [cert.pem(), signing_key.serialize_pem()],
        }
    }

    /// The certificate and its key, as files have them.
    pub fn pem(&self) -> &[String; 2] {
        &self.pem
    }

    /// The configuration of a server that offers these protocols by ALPN.
    pub fn server(&self, protocols: &[&str]) -> ServerConfig {
        let key = PrivatePkcs8KeyDer::from(self.key.clone()).into();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .expect("a certificate with its key");
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// The configuration of a client that asks for these protocols by ALPN.
    pub fn client(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

/// Accepts connections with their handshakes, for servers without TLS. A slow or failed handshake does not delay other
/// clients.
pub fn accept(
    listener: TcpListener,
    config: ServerConfig,
) -> Receiver<(server::TlsStream<TcpStream>, SocketAddr)> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (accepted, connections) = channel(16);
    tokio::spawn(async move {
        loop {
            let (socket, addr) = tokio::select! {
                connection = listener.accept() => connection.expect("a connection"),
                () = accepted.closed() => return,
            };
            let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
            tokio::spawn(async move {
                if let Ok(connection) = acceptor.accept(socket).await {
                    // An error means that the server has ended.
                    let _ = accepted.send((connection, addr)).await;
                }
            });
        }
    });
    connections
}
