//! A log that is spread over several keys.
