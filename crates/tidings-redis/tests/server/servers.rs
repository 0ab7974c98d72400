//! The ways to a server: credentials, TLS, protocols, Sentinel, Cluster.

use std::net::SocketAddr;
use std::time::Duration;

use tidings::backend::{LogError, LogErrorKind};
use tidings::{Event, Hub, error::PublishError};
use tidings_redis::RedisLog;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::Client;
use tidings_testkit::redis::Server;
#[cfg(feature = "sentinel")]
use tidings_testkit::requirements::met;
use tokio::time::{interval, sleep};

use super::history::proxy;
use super::{epoch, id_of, node, publish, server, server_with};

/// The command with all permissions that the crate's documentation lists.
fn documented_rules() -> Vec<&'static str> {
    let documentation = include_str!("../../src/lib.rs");
    let (_, rules) = documentation.split_once("//! ACL SETUSER").expect("it lists them");
    let (rules, _) = rules.split_once("//! ```").expect("a block of text ends");
    let rules = rules.split_whitespace().filter(|word| *word != "//!");
    ["ACL", "SETUSER"].into_iter().chain(rules).collect()
}

/// A user with these permissions, and then these changes of them. The result is an address for it.
async fn user(server: &Server, changes: &[&str]) -> String {
    server.cli(&documented_rules()).await;
    server.cli(&[&["ACL", "SETUSER", "hub"], changes].concat()).await;
    format!("redis://hub:secret@127.0.0.1:{}/", server.port())
}

#[track_caller]
fn assert_in_doubt(error: &PublishError) {
    let kind = error.log_error().map(LogError::kind);
    assert_eq!(kind, Some(LogErrorKind::Unacknowledged), "{error}");
}

/// An event goes through a node at this address to the clients of another.
async fn works(url: &str) {
    let hubs = [node(url).await, node(url).await];
    let mut client = Client::expect(&hubs[1], &["a"], None, "fresh").await;
    let id = id_of(&hubs[0], "a", "one").await;
    assert_eq!(client.read(1).await[0].last_event_id(), id);
    let once = |hub: &Hub| hub.publish_once("key", "a", Event::new("two"));
    let first = within("an answer", once(&hubs[0])).await.expect("it is published");
    let second = within("an answer", once(&hubs[1])).await.expect("it was published");
    assert_eq!((first.id(), second.is_duplicate()), (second.id(), true));
    client.read(1).await;
    assert_eq!(hear(&mut client, &hubs[0], "three").await, ["three"]);
}

/// What a client receives up to an ephemeral event with this data, which is published until it comes: Pub/Sub may not be
/// connected at once.
async fn hear(client: &mut Client, from: &Hub, data: &str) -> Vec<String> {
    let mut again = interval(Duration::from_millis(20));
    let mut heard = Vec::<String>::new();
    let hearing = async {
        while heard.last().is_none_or(|last| last != data) {
            tokio::select! {
                message = client.next() => {
                    heard.push(message.expect("the stream goes on").data().to_owned());
                }
                _ = again.tick() => {
                    from.publish_ephemeral("a", Event::new(data)).expect("it is published");
                }
            }
        }
    };
    within("an ephemeral event", hearing).await;
    heard
}

#[tokio::test]
async fn a_password_is_required() {
    let Some(server) = server_with(&["--requirepass", "se@cret"]).await else { return };
    let port = server.port();
    works(&format!("redis://:se%40cret@127.0.0.1:{port}/")).await;
    for url in [server.url(), format!("redis://:wrong@127.0.0.1:{port}/")] {
        let error = within("an answer", RedisLog::connect(&url)).await.unwrap_err();
        assert_eq!(error.kind(), LogErrorKind::Refused, "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[tokio::test]
async fn a_user_needs_no_more_than_the_documentation_says() {
    let Some(server) = server().await else { return };
    works(&user(&server, &[]).await).await;
    // An error names the permission that is missing.
    let hub = node(&user(&server, &["-xadd"]).await).await;
    let error = publish(&hub, "a", "refused").await.unwrap_err();
    assert!(error.to_string().contains("NOPERM"), "{error}");
    assert!(error.to_string().contains("xadd"), "{error}");
}

#[tokio::test]
async fn a_user_that_may_not_use_the_channel_of_the_nodes_is_refused() {
    let Some(server) = server().await else { return };
    for missing in ["resetchannels", "-subscribe", "-publish"] {
        let url = user(&server, &[missing]).await;
        let error = within("an answer", RedisLog::connect(&url)).await.expect_err(missing);
        assert_eq!(error.kind(), LogErrorKind::Refused, "{missing}: {error}");
        assert!(error.to_string().contains("NOPERM"), "{missing}: {error}");
    }
}

#[tokio::test]
async fn a_node_that_does_not_hear_the_others_is_not_ready() {
    let Some(server) = server().await else { return };
    let hub = node(&user(&server, &[]).await).await;
    eventually("a node that is ready", || hub.health().is_ready()).await;
    server.cli(&["ACL", "SETUSER", "hub", "resetchannels"]).await;
    let reason = "redis: cannot hear other nodes: NOPERM";
    eventually("a node that says why", || hub.health().to_string().contains(reason)).await;
    // Events are appended and delivered.
    let id = id_of(&hub, "a", "one").await;
    Client::expect(&hub, &["a"], Some(&id), "resumed").await;
    user(&server, &[]).await;
    eventually("a node that is ready", || hub.health().is_ready()).await;
}

#[tokio::test]
async fn an_event_whose_key_cannot_be_noted_is_in_doubt() {
    let Some(server) = server().await else { return };
    let hub = node(&user(&server, &["-set"]).await).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let published = within("an answer", hub.publish_once("key", "a", Event::new("once"))).await;
    let error = published.unwrap_err();
    assert_in_doubt(&error);
    assert!(error.to_string().contains("it is in the stream"), "{error}");
    assert_eq!(client.read(1).await[0].data(), "once");
}

#[tokio::test]
async fn resp3_can_be_selected() {
    let Some(server) = server().await else { return };
    works(&format!("{}?protocol=resp3", server.url())).await;
}

#[tokio::test]
async fn another_database_is_another_log() {
    let Some(server) = server().await else { return };
    let url = format!("{}5", server.url());
    let ours = [node(&server.url()).await, node(&server.url()).await];
    let theirs = [node(&url).await, node(&url).await];
    let first = id_of(&ours[0], "a", "one").await;
    let other = id_of(&theirs[0], "a", "one").await;
    assert_ne!(epoch(&first), epoch(&other));
    // Nor do they hear each other, although Pub/Sub has no databases.
    let mut our_client = Client::expect(&ours[1], &["a"], None, "fresh").await;
    let mut their_client = Client::expect(&theirs[1], &["a"], None, "fresh").await;
    hear(&mut their_client, &theirs[0], "begin").await;
    hear(&mut our_client, &ours[0], "ours").await;
    let heard = hear(&mut their_client, &theirs[0], "end").await;
    assert!(heard.iter().all(|data| data != "ours"), "{heard:?}");
    for hub in ours.iter().chain(&theirs) {
        assert!(hub.cluster().nodes().len() <= 2);
    }
}

#[tokio::test]
async fn what_nodes_tell_each_other_in_an_outage_is_not_sent_after_it() {
    let Some(server) = server().await else { return };
    let hubs = [node(&server.url()).await, node(&server.url()).await];
    let mut client = Client::expect(&hubs[1], &["a"], None, "fresh").await;
    hear(&mut client, &hubs[0], "before").await;
    server.pause();
    // The first may be on its way already, and the others wait for the answer.
    for data in ["first", "late", "late", "late"] {
        hubs[0].publish_ephemeral("a", Event::new(data)).expect("it is published");
    }
    // Longer than anybody waits for the answer.
    sleep(Duration::from_secs(4)).await;
    server.resume();
    let heard = hear(&mut client, &hubs[0], "after").await;
    assert!(heard.iter().all(|data| data != "late"), "{heard:?}");
}

#[tokio::test]
async fn a_server_is_reached_over_a_unix_socket() {
    let socket = std::env::temp_dir().join(format!("tidings-{}.sock", std::process::id()));
    let path = socket.to_str().expect("a path in UTF-8");
    let Some(_server) = server_with(&["--unixsocket", path]).await else { return };
    works(&format!("redis+unix://{path}")).await;
    let _ = std::fs::remove_file(socket);
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn tls_protects_the_link_to_a_server_whose_authority_is_trusted() {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    let pem = cert.pem();
    let file = |name: &str, text: &str| {
        let path = format!("{}/redis-{name}.pem", env!("CARGO_TARGET_TMPDIR"));
        std::fs::write(&path, text).expect("a file");
        path
    };
    let [cert, key] = [file("cert", &pem), file("key", &signing_key.serialize_pem())];
    let [cert, key] = [&*cert, &*key];
    let arguments = [
        ["--port", "0"],
        ["--tls-port", "{port}"],
        ["--tls-cert-file", cert],
        ["--tls-key-file", key],
        ["--tls-ca-cert-file", cert],
        ["--tls-auth-clients", "no"],
    ];
    let Some(server) = server_with(arguments.as_flattened()).await else { return };
    let url = format!("rediss://localhost:{}/", server.port());
    let error = within("an answer", RedisLog::connect(&url)).await.expect_err("it is not trusted");
    assert!(error.to_string().contains("certificate"), "{error}");
    let log = || RedisLog::builder(&*url).authority(pem.clone()).connect();
    let hubs = [
        Hub::builder().build_on(log().await.expect("it is trusted")),
        Hub::builder().build_on(log().await.expect("it is trusted")),
    ];
    let mut client = Client::expect(&hubs[1], &["a"], None, "fresh").await;
    let id = id_of(&hubs[0], "a", "one").await;
    assert_eq!(client.read(1).await[0].last_event_id(), id);
    // Without TLS it is not reachable.
    let plain = format!("redis://127.0.0.1:{}/", server.port());
    within("an answer", RedisLog::connect(&plain)).await.expect_err("it speaks TLS");
}

#[tokio::test]
async fn an_event_is_acknowledged_only_when_the_replicas_have_it() {
    let Some(primary) = server().await else { return };
    let mut replica = Server::start_replica(&primary).await.expect("Redis is installed");
    let log = RedisLog::builder(primary.url())
        .wait_replicas(1, Duration::from_millis(500))
        .append_timeout(Duration::from_secs(5));
    let hub = Hub::builder().build_on(log.connect().await.expect("the server is running"));
    id_of(&hub, "a", "one").await;
    let mut once = Vec::new();
    for _ in 0..2 {
        let publish = hub.publish_once("key", "a", Event::new("once"));
        once.push(within("an answer", publish).await.expect("the replica has it"));
    }
    assert_eq!((once[0].id(), once[1].is_duplicate()), (once[1].id(), true));
    let left = primary.cli(&["TTL", "{tidings}:once:key"]).await;
    assert!(left.parse::<i64>().is_ok_and(|seconds| seconds > 0), "{left}");
    replica.kill().await;
    let error = publish(&hub, "a", "two").await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 replicas have it"), "{error}");
}

#[tokio::test]
async fn an_event_that_a_server_does_not_wait_for_is_in_doubt_and_comes_once() {
    let Some(server) = server().await else { return };
    let log = RedisLog::builder(user(&server, &["-wait"]).await)
        .wait_replicas(1, Duration::from_millis(500))
        .append_timeout(Duration::from_secs(1));
    let hub = Hub::builder().build_on(log.connect().await.expect("the server is running"));
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let error = publish(&hub, "a", "plain").await.unwrap_err();
    assert_in_doubt(&error);
    assert!(error.to_string().contains("'wait'"), "{error}");
    let keyed = within("an answer", hub.publish_once("key", "a", Event::new("keyed"))).await;
    assert_in_doubt(&keyed.unwrap_err());
    let seen: Vec<_> = client.read(2).await.iter().map(|m| m.data().to_owned()).collect();
    assert_eq!(seen, ["plain", "keyed"]);
    assert_eq!(server.cli(&["XLEN", "{tidings}:log"]).await, "2");
}

/// Behind one address, which leads to the new primary for new connections only: before the old one becomes its replica,
/// or only when a node has noticed that, and has signalled over a new connection to the old one.
async fn signals_reach_a_new_primary(is_led_first: bool) {
    let Some(old) = server().await else { return };
    let new = Server::start_replica(&old).await.expect("Redis is installed");
    let (proxy, url) = proxy(&old).await;
    let (hub, other) = (node(&url).await, node(&url).await);
    let mut client = Client::expect(&other, &["a"], None, "fresh").await;
    hear(&mut client, &hub, "before").await;
    new.until(&["EXISTS", "{tidings}:log"], "1").await;
    new.cli(&["REPLICAOF", "NO", "ONE"]).await;
    let lead = || proxy.lead_to(SocketAddr::from(([127, 0, 0, 1], new.port())));
    if is_led_first {
        lead();
    }
    old.cli(&["REPLICAOF", "127.0.0.1", &new.port().to_string()]).await;
    if !is_led_first {
        let has_noticed = || hub.health().to_string().contains("READONLY");
        eventually("a node that has noticed", has_noticed).await;
        // The other node still listens there.
        hear(&mut client, &hub, "meanwhile").await;
        lead();
    }
    let later = node(&url).await;
    let mut client = Client::expect(&later, &["a"], None, "fresh").await;
    hear(&mut client, &hub, "after").await;
}

#[tokio::test]
async fn what_a_node_tells_the_others_reaches_those_of_a_new_primary() {
    signals_reach_a_new_primary(true).await;
}

#[tokio::test]
async fn signals_reach_a_new_primary_to_which_the_address_leads_only_later() {
    signals_reach_a_new_primary(false).await;
}

/// A primary, a replica that has the same, and a Sentinel that knows both.
#[cfg(feature = "sentinel")]
async fn watched() -> Option<(Server, Server, Server)> {
    let primary = server().await?;
    let replica = Server::start_replica(&primary).await;
    let replica = met("the log on Redis", || replica)?;
    let sentinel = Server::start_sentinel(&primary).await;
    let sentinel = met("the log on Redis", || sentinel)?;
    sentinel.until(&["SENTINEL", "replicas", "main"], &replica.port().to_string()).await;
    Some((primary, replica, sentinel))
}

#[cfg(feature = "sentinel")]
fn address_by(sentinel: &Server) -> String {
    format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port())
}

/// Publishes until a server takes the event.
async fn publish_at_last(hub: &Hub) -> String {
    let published = async {
        loop {
            if let Ok(published) = hub.publish("a", Event::new("after")).await {
                break published.id().as_str().to_owned();
            }
        }
    };
    within("a new primary", published).await
}

#[cfg(feature = "sentinel")]
#[tokio::test]
async fn a_failover_to_a_replica_that_has_everything_resets_no_client() {
    let Some((mut primary, replica, sentinel)) = watched().await else { return };
    let hub = node(&address_by(&sentinel)).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let before = id_of(&hub, "a", "before").await;
    replica.until(&["XRANGE", "{tidings}:log", "-", "+"], "before").await;
    primary.kill().await;
    let after = publish_at_last(&hub).await;
    assert_eq!(epoch(&before), epoch(&after));
    client.read_to(&after).await;
    let resets = client.messages().iter().filter(|m| m.event() == tidings::STATUS_EVENT).count();
    assert_eq!(resets, 1, "{:?}", client.messages());
    assert!(replica.cli(&["ROLE"]).await.contains("master"));
}

#[cfg(feature = "sentinel")]
#[tokio::test]
async fn a_failover_to_a_replica_that_lacks_something_is_another_history() {
    let Some((mut primary, replica, sentinel)) = watched().await else { return };
    let hub = node(&address_by(&sentinel)).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let before = id_of(&hub, "a", "before").await;
    replica.until(&["XRANGE", "{tidings}:log", "-", "+"], "before").await;
    // The replica is cut off, and cannot come back.
    primary.cli(&["CONFIG", "SET", "requirepass", "secret"]).await;
    primary.cli(&["-a", "secret", "CLIENT", "KILL", "TYPE", "replica"]).await;
    replica.until(&["INFO", "replication"], "master_link_status:down").await;
    let lost = id_of(&hub, "a", "lost").await;
    client.read_to(&lost).await;
    primary.kill().await;
    publish_at_last(&hub).await;
    while !client.next().await.expect("the stream goes on").data().contains("unknown") {}
    let last = id_of(&hub, "a", "last").await;
    client.read_to(&last).await;
    assert_ne!(epoch(&before), epoch(&last));
}

/// Three nodes of a cluster.
async fn cluster() -> Option<[Server; 3]> {
    let mut servers = Vec::new();
    for _ in 0..3 {
        let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
        let cluster = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        servers.push(server_with(&[arguments, cluster].concat()).await?);
    }
    let addresses: Vec<_> =
        servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let create = [&["--cluster", "create"], &addresses[..], &["--cluster-yes"]].concat();
    servers[0].cli(&create).await;
    for server in &servers {
        server.until(&["CLUSTER", "INFO"], "cluster_state:ok").await;
    }
    servers.try_into().ok()
}

#[tokio::test]
async fn a_log_lives_on_one_node_of_a_cluster_and_is_reached_by_all() {
    let Some(mut servers) = cluster().await else { return };
    let mut hubs = Vec::new();
    for server in &servers {
        hubs.push(node(&format!("redis+cluster://127.0.0.1:{}", server.port())).await);
    }
    let mut clients = Vec::new();
    for hub in &hubs {
        clients.push(Client::expect(hub, &["a", "b"], None, "fresh").await);
    }
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(id_of(&hubs[n % 3], ["a", "b"][n % 2], "x").await);
    }
    for client in &mut clients {
        let seen: Vec<_> = client.read(30).await.iter().map(|m| m.last_event_id()).collect();
        assert_eq!(seen, ids, "in the order of the publications, which waited for each other");
    }
    // While the node with the log is down everything waits, and nothing is lost.
    let mut holders = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        if server.cli(&["--scan"]).await.contains(":log") {
            holders.push(number);
        }
    }
    let [holder] = holders[..] else { panic!("{holders:?} have the log") };
    servers[holder].kill().await;
    eventually("nodes that are not ready", || hubs.iter().all(|hub| !hub.health().is_ready()))
        .await;
    servers[holder].start_again().await;
    servers[holder].until(&["CLUSTER", "INFO"], "cluster_state:ok").await;
    let last = publish_at_last(&hubs[0]).await;
    for client in &mut clients {
        client.read_to(&last).await;
        let status = |m: &&tidings::Message| m.event() == tidings::STATUS_EVENT;
        assert_eq!(client.messages().iter().filter(status).count(), 1);
    }
}
