//! The clients of this node: listed, searched for, and closed on any node.

use std::cmp::Reverse;
use std::time::SystemTime;

use serde_json::{Value, json};
use tidings::{ClientInfo, Hub};

use crate::answer::Response;

/// How many clients are sent, and how many topics of each.
const MOST_CLIENTS: usize = 100;
const MOST_TOPICS: usize = 8;

/// The clients in which a text occurs, those first that lag most, then the newest.
pub(crate) fn list(hub: &Hub, search: &str) -> Value {
    let search = search.trim().to_lowercase();
    let clients = hub.clients().list();
    let total = clients.len();
    let found = clients.into_iter().filter(|client| is_found(client, &search));
    let mut found: Vec<_> =
        found.map(|client| (hub.clients().lag(client.id).unwrap_or(0), client)).collect();
    found.sort_by_key(|(lag, client)| Reverse((*lag, client.connected_at, client.id)));
    let shown = found.iter().take(MOST_CLIENTS);
    let shown: Vec<_> = shown.map(|(lag, client)| describe(*lag, client)).collect();
    json!({ "total": total, "found": found.len(), "clients": shown })
}

fn is_found(client: &ClientInfo, search: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(search);
    search.is_empty()
        || has(&client.id.to_string())
        || client.principal.as_deref().is_some_and(has)
        || client.remote_addr.is_some_and(|addr| has(&addr.to_string()))
        || names(client).any(has)
}

/// Its topics and patterns.
fn names(client: &ClientInfo) -> impl Iterator<Item = &str> {
    let topics = client.topics.iter().map(|topic| topic.as_str());
    topics.chain(client.patterns.iter().map(|pattern| pattern.as_str()))
}

fn describe(lag: usize, client: &ClientInfo) -> Value {
    let connected = SystemTime::now().duration_since(client.connected_at).unwrap_or_default();
    let topics: Vec<_> = names(client).take(MOST_TOPICS).collect();
    json!({
        "id": client.id,
        "topics": topics,
        "topics_more": client.topics.len() + client.patterns.len() - topics.len(),
        "principal": client.principal.as_deref(),
        "remote_addr": client.remote_addr,
        "connected_ms": u64::try_from(connected.as_millis()).unwrap_or(u64::MAX),
        "events_sent": client.events_sent,
        "bytes_sent": client.bytes_sent,
        "last_id": client.last_id,
        "lag": lag,
    })
}

/// Ends the stream of the client with this id, on any node.
pub(crate) async fn close(hub: &Hub, id: &str) -> Response {
    let Ok(id) = id.parse() else {
        return Response::refusal(404, "client id is not 16 hexadecimal digits");
    };
    let answer = hub.cluster().close(id).await;
    match (answer.total, answer.silent.len()) {
        (1.., _) => Response::no_content(),
        (0, 0) => Response::refusal(404, "no client with this id is connected"),
        (0, silent) => {
            let reason = format!("none of the nodes that answered has it; {silent} did not answer");
            Response::refusal(504, &reason)
        }
    }
}
