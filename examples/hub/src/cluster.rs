//! `GET /cluster`, and the requests that end streams on any node: `DELETE /clients/{id}` and
//! `DELETE /principals/{principal}`.

use serde_json::{Value, json};
use tidings::Hub;
use tidings::cluster::{Answer, NodeInfo};

use crate::refusal::Refusal;

/// The nodes on the hub's log with their numbers of clients, as JSON.
pub fn describe(hub: &Hub) -> String {
    let nodes: Vec<_> = hub.cluster().nodes().iter().map(node).collect();
    json!({ "clients": hub.cluster().count(), "nodes": nodes }).to_string()
}

fn node(node: &NodeInfo) -> Value {
    json!({
        "id": node.id,
        "self": node.is_self,
        "clients": node.clients,
        "ready": node.is_ready,
        "lost": node.is_lost,
        "last_seen_ms": u64::try_from(node.last_seen.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Ends the stream of the client with this id.
///
/// # Errors
///
/// When the client does not exist, or may be on a node that has not answered.
pub async fn close_client(hub: &Hub, id: &str) -> Result<(), Refusal> {
    let id = id.parse().map_err(Refusal::not_found)?;
    outcome(&hub.cluster().close(id).await)
}

/// What the nodes' answers about one client mean.
pub(crate) fn outcome(answer: &Answer) -> Result<(), Refusal> {
    match (answer.total, answer.silent.len()) {
        (1.., _) => Ok(()),
        (0, 0) => Err(Refusal::not_found("client id: no client with this id is connected")),
        (0, silent) => Err(Refusal {
            status: 504,
            reason: format!(
                "client id is on none of the nodes that have answered; {silent} have not"
            ),
        }),
    }
}

/// Ends all streams of a principal. Returns their number and the nodes that have not answered, as JSON.
pub async fn close_principal(hub: &Hub, principal: &str) -> String {
    let answer = hub.cluster().close_principal(principal).await;
    json!({ "closed": answer.total, "silent": answer.silent }).to_string()
}
