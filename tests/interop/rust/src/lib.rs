//! The protocol of the drivers: one event, one line.

use serde_json::json;

/// Prints an event.
pub fn print(event: &str, data: &str, id: &str) {
    println!("{}", json!({ "event": event, "data": data, "id": id }));
}
