//! Credentials, TLS, and servers and streams that are refused.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tidings::backend::{LogError, LogErrorKind};
use tidings::{Event, Hub};
use tidings_nats::{ConnectOptions, NatsLog};
use tidings_testkit::limit::within;
use tidings_testkit::log::{Client, publish};
use tidings_testkit::nats::Server;
use tidings_testkit::requirements::met;

use crate::{client_of, node, server, server_with};

async fn refused(log: impl Future<Output = Result<NatsLog, LogError>>) -> String {
    let error = within("an answer", log).await.expect_err("it is refused");
    assert_eq!(error.kind(), LogErrorKind::Refused, "{error}");
    error.to_string()
}

#[tokio::test]
async fn an_address_without_a_server_is_unavailable() {
    let error = within("an answer", NatsLog::connect("nats://127.0.0.1:1")).await.unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Unavailable);
    assert!(error.to_string().starts_with("nats: cannot connect: "), "{error}");
}

#[tokio::test]
async fn a_server_that_requires_credentials_gets_them() {
    let Some(server) = server_with("authorization { user: u, password: p }").await else { return };
    let error = refused(NatsLog::connect(server.url())).await;
    assert!(error.starts_with("nats: cannot connect: "), "{error}");
    let options = ConnectOptions::with_user_and_password("u".to_owned(), "p".to_owned());
    let log = NatsLog::builder().connect_options(options).connect(server.url());
    let hub = Hub::builder().build_on(within("a log", log).await.unwrap());
    publish(&hub, "a", "x").await;
}

/// The crate's documentation lists all permissions that a node needs.
#[tokio::test]
async fn a_node_works_with_the_permissions_that_are_documented() {
    let configuration = r#"authorization { users: [ { user: u, password: p, permissions: {
        publish: ["tidings.>", "tidings-signal", "tidings-epoch",
          "$JS.API.STREAM.INFO.TIDINGS", "$JS.API.STREAM.MSG.GET.TIDINGS", "$JS.API.STREAM.CREATE.TIDINGS",
          "$JS.API.STREAM.INFO.TIDINGS_EPOCH", "$JS.API.STREAM.MSG.GET.TIDINGS_EPOCH",
          "$JS.API.STREAM.CREATE.TIDINGS_EPOCH"]
        subscribe: ["tidings-live.>", "tidings-signal", "_INBOX.>"]
      } } ] }"#;
    let Some(server) = server_with(configuration).await else { return };
    let hub = async || {
        let options = ConnectOptions::with_user_and_password("u".to_owned(), "p".to_owned());
        let log = NatsLog::builder().connect_options(options).connect(server.url());
        Hub::builder().build_on(within("a log", log).await.unwrap())
    };
    let (one, two) = (hub().await, hub().await);
    let mut client = Client::expect(&two, &["a"], None, "fresh").await;
    let first = publish(&one, "a", "x").await;
    let second = publish(&one, "a", "y").await;
    client.read_to(&second.id).await;
    let three = hub().await;
    let mut client = Client::expect(&three, &["a"], Some(&first.id), "resumed").await;
    client.read_to(&second.id).await;
}

#[tokio::test]
async fn a_server_that_requires_tls_gets_it() {
    let configuration =
        r#"tls { cert_file: "{folder}/certificate.pem", key_file: "{folder}/key.pem" }"#;
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let server = Server::start_named("test", configuration, |folder| {
        std::fs::write(folder.join("certificate.pem"), cert.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    })
    .await;
    let Some(server) = met("logs on NATS", || server) else { return };
    let untrusted = within("an answer", NatsLog::connect(server.url())).await;
    assert!(untrusted.is_err());
    let trusted = server.folder().join("certificate.pem");
    let options = ConnectOptions::new().require_tls(true).add_root_certificates(trusted);
    let log = NatsLog::builder().connect_options(options);
    let log = log.connect(format!("tls://localhost:{}", server.port()));
    let hub = Hub::builder().build_on(within("a log", log).await.unwrap());
    publish(&hub, "a", "x").await;
}

#[tokio::test]
async fn a_stream_that_is_for_something_else_is_refused_with_the_field() {
    let Some(server) = server().await else { return };
    let client = client_of(&server).await;
    let config = async_nats::jetstream::stream::Config {
        name: "TIDINGS".to_owned(),
        subjects: vec!["tidings.>".to_owned()],
        ..Default::default()
    };
    async_nats::jetstream::new(client).create_stream(config).await.unwrap();
    let error = refused(NatsLog::connect(server.url())).await;
    assert_eq!(error, "nats: stream TIDINGS: its republish is not what this log needs");
    // Another one needs other subjects.
    let error = refused(NatsLog::builder().stream("OTHER").connect(server.url())).await;
    assert!(error.starts_with("nats: create stream: "), "{error}");
    let log = NatsLog::builder().stream("OTHER").prefix("other").connect(server.url());
    let log = within("a log", log).await.unwrap();
    drop(log);
    let error = refused(
        NatsLog::builder().stream("OTHER").prefix("other").max_events(7).connect(server.url()),
    )
    .await;
    assert_eq!(error, "nats: stream OTHER: its max_msgs is not what this log needs");
}

#[tokio::test]
async fn only_an_event_that_is_too_large_for_the_server_is_refused() {
    let Some(server) = server_with("max_payload: 10000").await else { return };
    let hub = node(&server).await;
    let large = hub.publish("a", Event::new("x".repeat(10_000)));
    let error = within("an answer", large).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("over the server's max_payload of 10000"), "{source}");
    publish(&hub, "a", "small").await;
}

#[tokio::test]
async fn a_stream_without_room_is_an_error() {
    let Some(server) = server().await else { return };
    let log = NatsLog::builder().max_bytes(1 << 50).connect(server.url());
    let error = within("an answer", log).await.unwrap_err();
    assert_eq!(error.kind(), LogErrorKind::Full, "{error}");
}
