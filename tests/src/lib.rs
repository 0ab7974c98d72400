//! Tests across crates; they are in `tests/tests`.
//!
//! Here is what they share: [`requirements`] decides what becomes of a test whose tools are not
//! installed, and [`examples`] builds the programs that are tested.

pub mod examples;
pub mod requirements;
