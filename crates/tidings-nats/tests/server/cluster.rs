//! A stream on three servers.

use std::time::Duration;

use tidings::{Event, Hub};
use tidings_nats::NatsLog;
use tidings_testkit::limit::within;
use tidings_testkit::log::Client;
use tidings_testkit::nats::Server;
use tidings_testkit::requirements::met;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// An election takes some seconds, and the servers have little to themselves here.
const ELECTION: Duration = Duration::from_secs(60);

/// A hub at a server of the cluster, once that has found its leader.
async fn hub_at(server: &Server, is_selective: bool) -> Hub {
    let deadline = Instant::now() + ELECTION;
    loop {
        let log = NatsLog::builder().replicas(3).selective(is_selective).connect(server.url());
        match within("an answer", log).await {
            Ok(log) => return Hub::builder().build_on(log),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_leader_is_killed() {
    let servers = Server::start_cluster().await;
    let Some(mut servers) = met("clusters of NATS", || servers) else { return };
    let mut hubs = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        hubs.push(hub_at(server, number != 1).await);
    }
    let mut clients = Vec::new();
    let asked: [&[&str]; 3] = [&["a", "b"], &["*"], &["a*", "b", "*"]];
    for (hub, asked) in hubs.iter().zip(asked) {
        clients.push(Client::expect(hub, asked, None, "fresh").await);
    }
    let nats = async_nats::connect(servers[0].url()).await.unwrap();
    let stream = async_nats::jetstream::new(nats).get_stream("TIDINGS").await.unwrap();
    let leader = stream.cached_info().cluster.as_ref().unwrap().leader.clone().unwrap();
    let leader = ["one", "two", "three"].iter().position(|name| *name == leader).unwrap();

    let publisher = hubs[(leader + 1) % 3].clone();
    let (killed, is_killed) = watch::channel(false);
    let publishing = tokio::spawn(async move {
        let (mut acknowledged, mut since) = (Vec::new(), 0);
        // Until there was an election, and for a while after it.
        for n in 0.. {
            let was_killed = *is_killed.borrow();
            let topic = ["a", "b"][n % 2];
            match within("an outcome", publisher.publish(topic, Event::new(n.to_string()))).await {
                Ok(published) => acknowledged.push(published.id().as_str().to_owned()),
                // Some are lost with the leader; they were not acknowledged.
                Err(_) => continue,
            }
            since += usize::from(was_killed);
            if since == 300 {
                break;
            }
        }
        acknowledged
    });
    clients[0].read(200).await;
    servers[leader].kill().await;
    killed.send_replace(true);
    let acknowledged = timeout(2 * ELECTION, publishing).await.expect("a new leader");
    let acknowledged = acknowledged.expect("it does not panic");
    for (number, mut client) in clients.into_iter().enumerate() {
        client.read_to(acknowledged.last().unwrap()).await;
        let seen: Vec<_> =
            client.leave().messages.iter().map(|m| m.last_event_id().to_owned()).collect();
        let mut rest = seen.iter();
        for id in &acknowledged {
            assert!(rest.any(|seen| seen == id), "node {number} has not shown {id}");
        }
    }
}
