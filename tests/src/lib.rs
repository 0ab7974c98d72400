//! Tests across crates; they are in `tests/tests`.
//!
//! Here is what they share: [`interop`] has the clients and proxies that other people wrote, [`random`] decides by
//! a seed, [`document`] is for what tests write down, and [`datastar`] has a script of others. The servers that they run are
//! in `tidings-testkit`.

pub mod datastar;
pub mod document;
pub mod example;
pub mod fault_injector;
#[cfg(unix)]
pub mod interop;
pub mod random;

#[cfg(unix)]
pub use tidings_testkit::{nats, redis};
pub use tidings_testkit::{proxy, requirements};

/// The code of pages that people read compiles, and runs where it can.
#[cfg(doctest)]
mod pages {
    macro_rules! pages {
        ($($name:ident: $page:literal,)*) => {
            $(#[doc = include_str!(concat!("../../", $page))] mod $name {})*
        };
    }
    pages! {
        serving: "docs/SERVING.md",
        deploying: "docs/DEPLOYING.md",
        scaling: "docs/SCALING.md",
        first_stream: "docs/guide/1-first-stream.md",
        topics_and_events: "docs/guide/2-topics-and-events.md",
        reconnects: "docs/guide/3-reconnects.md",
        users: "docs/guide/4-users.md",
        production: "docs/guide/5-production.md",
        many_nodes: "docs/guide/6-many-nodes.md",
        page_state: "docs/guide/page-state.md",
        browser_client: "docs/guide/browser-client.md",
        typed_events: "docs/guide/typed-events.md",
        openapi: "docs/guide/openapi.md",
        changing_rights: "docs/guide/changing-rights.md",
        end_for_good: "docs/guide/end-for-good.md",
        filters: "docs/guide/filters.md",
        current_values: "docs/guide/current-values.md",
        presence: "docs/guide/presence.md",
        job_progress: "docs/guide/job-progress.md",
        llm_answer: "docs/guide/llm-answer.md",
        examples: "docs/guide/examples.md",
        llm_clients: "docs/guide/llm-clients.md",
        migrating: "docs/guide/migrating.md",
        testing: "docs/guide/testing.md",
        page_lifecycle: "docs/guide/page-lifecycle.md",
        deploys: "docs/guide/deploys.md",
        limits: "docs/guide/limits.md",
        axum: "crates/tidings-axum/README.md",
        actix_web: "crates/tidings-actix-web/README.md",
        warp: "crates/tidings-warp/README.md",
        core: "crates/tidings/README.md",
        test: "crates/tidings-test/README.md",
        console: "crates/tidings-console/README.md",
        redb: "crates/tidings-redb/README.md",
        redis: "crates/tidings-redis/README.md",
        nats: "crates/tidings-nats/README.md",
    }
}
