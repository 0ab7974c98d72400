//! The tests that docs/guide/testing.md shows.

mod actix_web;
mod axum;
mod warp;

#[test]
fn the_guide_shows_these_tests() {
    const GUIDE: &str = include_str!("../../../docs/guide/testing.md");
    for shown in [include_str!("axum.rs"), include_str!("actix_web.rs"), include_str!("warp.rs")] {
        assert!(
            GUIDE.contains(&format!("```rust\n{shown}```\n")),
            "the guide should show:\n{shown}"
        );
    }
    const README: &str = include_str!("../../../crates/tidings-test/README.md");
    assert!(
        README.contains(include_str!("axum.rs")),
        "the crate's README has another test for axum"
    );
}
