//! Credentials, TLS, and servers and streams that are refused.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
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

async fn works(server: &Server, options: ConnectOptions) {
    let log = NatsLog::builder().connect_options(options).connect(server.url());
    let hub = Hub::builder().build_on(within("a log", log).await.unwrap());
    publish(&hub, "a", "x").await;
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
    works(&server, ConnectOptions::new().user_and_password("u", "p")).await;
}

#[tokio::test]
async fn a_server_that_requires_a_token_gets_it() {
    let Some(server) = server_with("authorization { token: secret }").await else { return };
    refused(NatsLog::connect(server.url())).await;
    works(&server, ConnectOptions::new().token("secret")).await;
}

#[tokio::test]
async fn a_server_that_knows_a_node_by_its_nkey_gets_a_signature() {
    let key = KeyPair::new_user();
    let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key());
    let Some(server) = server_with(&users).await else { return };
    let other = ConnectOptions::new().nkey(KeyPair::new_user().seed().unwrap());
    refused(NatsLog::builder().connect_options(other).connect(server.url())).await;
    works(&server, ConnectOptions::new().nkey(key.seed().unwrap())).await;
}

/// Claims as a token that their issuer has signed.
fn token(issuer: &KeyPair, subject: &KeyPair, nats: Value) -> String {
    let head = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": "test", "iat": 1, "name": "test",
        "iss": issuer.public_key(), "sub": subject.public_key(), "nats": nats,
    });
    let parts = [head, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
    let signed = parts.join(".");
    let signature = BASE64URL_NOPAD.encode(&issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_server_that_trusts_an_operator_gets_credentials() {
    let [operator, user] = [KeyPair::new_operator(), KeyPair::new_user()];
    let [account, system] = [KeyPair::new_account(), KeyPair::new_account()];
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = |account| {
        let claims = json!({ "limits": limits, "type": "account", "version": 2 });
        token(&operator, account, claims)
    };
    let mut limits_of_system = limits.clone();
    for name in ["mem_storage", "disk_storage", "streams", "consumer"] {
        limits_of_system[name] = json!(0);
    }
    let system_claims = json!({ "limits": limits_of_system, "type": "account", "version": 2 });
    let configuration = format!(
        "operator: {}\nresolver: MEMORY\nsystem_account: {}\nresolver_preload {{ {}: {}, {}: {} }}",
        token(&operator, &operator, json!({ "type": "operator", "version": 2 })),
        system.public_key(),
        account.public_key(),
        of_account(&account),
        system.public_key(),
        token(&operator, &system, system_claims),
    );
    let Some(server) = server_with(&configuration).await else { return };
    let claims = json!({ "subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2 });
    let credentials = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        token(&account, &user, claims),
        user.seed().unwrap(),
    );
    let file = server.folder().join("node.creds");
    std::fs::write(&file, &credentials).unwrap();
    refused(NatsLog::connect(server.url())).await;
    works(&server, ConnectOptions::new().credentials(credentials)).await;
    works(&server, ConnectOptions::new().credentials_file(file)).await;
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_refused_before_anything_is_sent() {
    for options in [
        ConnectOptions::new().credentials("nothing of the kind"),
        ConnectOptions::new().credentials_file("/no/such/file"),
    ] {
        let log = NatsLog::builder().connect_options(options).connect("nats://127.0.0.1:1");
        let error = refused(log).await;
        assert!(error.starts_with("nats: credentials: "), "{error}");
    }
}

#[tokio::test]
async fn answers_come_to_the_inbox_that_a_node_may_read() {
    let configuration = r#"authorization { users: [ { user: u, password: p, permissions: {
        publish: ">", subscribe: ["tidings-live.>", "tidings-signal", "_INBOX_u.>"] } } ] }"#;
    let Some(server) = server_with(configuration).await else { return };
    let user = || ConnectOptions::new().user_and_password("u", "p");
    let log = NatsLog::builder().connect_options(user()).connect(server.url());
    assert!(within("an answer", log).await.is_err());
    works(&server, user().inbox_prefix("_INBOX_u")).await;
}

#[tokio::test]
async fn another_server_of_the_list_is_used_when_one_is_not_there() {
    let Some(server) = server().await else { return };
    let servers = format!("nats://127.0.0.1:1, {}", server.url());
    drop(within("a log", NatsLog::connect(&servers)).await.unwrap());
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
        let options = ConnectOptions::new().user_and_password("u", "p");
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

/// Otherwise it would take the silence of the other nodes for their absence.
#[tokio::test]
async fn a_node_that_may_not_send_or_receive_signals_is_refused() {
    let configuration = r#"authorization { users: [
        { user: silent, password: p, permissions: { publish: { deny: "tidings-signal" } } },
        { user: deaf, password: p, permissions: { subscribe: { deny: "tidings-signal" } } } ] }"#;
    let Some(server) = server_with(configuration).await else { return };
    for user in ["silent", "deaf"] {
        let options = ConnectOptions::new().user_and_password(user, "p");
        let log = NatsLog::builder().connect_options(options);
        let log = log.request_timeout(Duration::from_secs(1)).connect(server.url());
        let error = refused(log).await;
        assert!(error.contains("Permissions Violation for"), "{error}");
        assert!(error.contains("tidings-signal"), "{error}");
    }
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named() {
    let configuration = r#"authorization { users: [ { user: u, password: p },
        { user: reader, password: p, permissions: { publish: { deny: "tidings.>" } } },
        { user: writer, password: p,
          permissions: { publish: { deny: "$JS.API.STREAM.MSG.GET.TIDINGS" } } } ] }"#;
    let Some(server) = server_with(configuration).await else { return };
    works(&server, ConnectOptions::new().user_and_password("u", "p")).await;
    for user in ["reader", "writer"] {
        let options = ConnectOptions::new().user_and_password(user, "p");
        let log = NatsLog::builder().connect_options(options);
        let log = log.append_timeout(Duration::from_secs(1)).connect(server.url());
        let hub = Hub::builder().build_on(within("a log", log).await.unwrap());
        let error = within("an error", hub.publish("a", Event::new("x"))).await.unwrap_err();
        assert!(error.to_string().contains("Permissions Violation for Publish"), "{error}");
    }
}

#[tokio::test]
async fn a_window_that_is_shorter_than_events_are_sent_again_is_refused_and_makes_no_stream() {
    let Some(server) = server().await else { return };
    let log = NatsLog::builder().idempotency_window(Duration::from_secs(1)).connect(server.url());
    let error = refused(log).await;
    assert!(error.contains("duplicate_window of 1s"), "{error}");
    works(&server, ConnectOptions::new()).await;
}

/// A server with TLS, and more lines for it; its certificate is in `certificate.pem`.
async fn server_with_tls(more: &str) -> Option<Server> {
    let configuration = format!(
        r#"tls {{ cert_file: "{{folder}}/certificate.pem", key_file: "{{folder}}/key.pem", {more} }}"#
    );
    let server = Server::start_named("test", &configuration, |folder| {
        for [certificate, key] in [["certificate.pem", "key.pem"], ["client.pem", "client-key.pem"]]
        {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(folder.join(certificate), cert.pem()).unwrap();
            std::fs::write(folder.join(key), signing_key.serialize_pem()).unwrap();
        }
    })
    .await;
    met("logs on NATS", || server)
}

async fn connect_with_tls(server: &Server, options: ConnectOptions) -> Result<NatsLog, LogError> {
    let trusted = server.folder().join("certificate.pem");
    let options = options.require_tls(true).root_certificates(trusted);
    let log = NatsLog::builder().connect_options(options);
    within("an answer", log.connect(format!("tls://localhost:{}", server.port()))).await
}

#[tokio::test]
async fn a_server_that_requires_tls_gets_it() {
    let Some(server) = server_with_tls("").await else { return };
    let untrusted = within("an answer", NatsLog::connect(server.url())).await;
    assert!(untrusted.is_err());
    let log = connect_with_tls(&server, ConnectOptions::new()).await.unwrap();
    publish(&Hub::builder().build_on(log), "a", "x").await;
}

#[tokio::test]
async fn a_server_that_requires_a_certificate_gets_it() {
    let ca = r#"ca_file: "{folder}/client.pem", verify: true"#;
    let Some(server) = server_with_tls(ca).await else { return };
    assert!(connect_with_tls(&server, ConnectOptions::new()).await.is_err());
    let [chain, key] = ["client.pem", "client-key.pem"].map(|name| server.folder().join(name));
    let options = ConnectOptions::new().client_certificate(chain, key);
    let log = connect_with_tls(&server, options).await.unwrap();
    publish(&Hub::builder().build_on(log), "a", "x").await;
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
