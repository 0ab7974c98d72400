//! An event server with TLS, on axum. At SIGHUP it reads its certificate again.
//!
//! `minimal-tls 127.0.0.1:3000 certificate.pem key.pem`

use std::{env, error::Error, time::Duration};

use axum::{Router, extract::State, routing::get};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tidings_axum::tidings::{Event, Hub, error::PublishError};
use tidings_axum::{Sse, SseRequest, Tls};
use tokio::{net::TcpListener, time::sleep};

async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "count").into()
}

/// Publishes an event every second.
async fn count(hub: Hub) -> Result<(), PublishError> {
    for n in 1_u64.. {
        hub.publish("count", Event::new(n.to_string())).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Reads a certificate with its chain, and its key.
fn read(certificate: &str, key: &str) -> Result<ServerConfig, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    Ok(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?)
}

/// Replaces the certificate at each SIGHUP. New connections have the new one.
#[cfg(unix)]
async fn reload(tls: Tls, certificate: String, key: String) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hang_ups = signal(SignalKind::hangup())?;
    while hang_ups.recv().await.is_some() {
        match read(&certificate, &key) {
            Ok(config) => tls.reload(config),
            Err(error) => eprintln!("{certificate}, {key}: {error}; the old certificate stays"),
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [address, certificate, key] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: minimal-tls ADDRESS CERTIFICATE KEY")?;
    let tls = Tls::from(read(&certificate, &key)?);
    #[cfg(unix)]
    tokio::spawn(reload(tls.clone(), certificate, key));

    let hub = Hub::new();
    tokio::spawn(count(hub.clone()));
    let app = Router::new().route("/events", get(events)).with_state(hub.clone());
    let listener = TcpListener::bind(address).await?;
    println!("curl -N https://{}/events", listener.local_addr()?);
    tidings_axum::serve(listener, app, &hub).tls(tls).await?;
    Ok(())
}
