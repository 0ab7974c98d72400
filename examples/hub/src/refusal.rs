//! Why requests are refused.

use serde_json::json;

/// A status of 400 or more with the reason in one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The reason, for people.
    pub reason: String,
}

impl Refusal {
    /// The request is wrong.
    pub fn bad_request(reason: impl ToString) -> Self {
        Self { status: 400, reason: reason.to_string() }
    }

    /// Nothing exists at this path.
    pub fn not_found(reason: impl ToString) -> Self {
        Self { status: 404, reason: reason.to_string() }
    }

    /// The header `WWW-Authenticate` of a response with status 401.
    pub fn challenge(&self) -> Option<&'static str> {
        (self.status == 401).then_some("Bearer")
    }

    /// The body of the response: `{"error": "…"}`.
    pub fn json(&self) -> String {
        json!({ "error": self.reason }).to_string()
    }
}
