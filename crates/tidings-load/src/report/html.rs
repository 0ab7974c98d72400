//! stub
use crate::Report;

impl Report {
    /// One page.
    #[must_use]
    pub fn html(&self) -> String {
        String::new()
    }
}
