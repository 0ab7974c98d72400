//! What the example hubs share.
//!
//! Each of them serves the same interface:
//!
//! | request | answer |
//! |---|---|
//! | `GET /events?topic=a&topic=b:*&history=20&principal=ada&heartbeat=ping` | the stream; `*` stands for any characters; `history` is for fresh clients, `principal` names the user, `heartbeat` the event that an idle stream sends; all three are optional |
//! | `POST /publish?topic=a&event=price&key=order-17` | publishes the body as data; JSON `{"id": "…", "subscribers": 1, "duplicate": false}`. With a `key` it can be retried. 503 and 507: not published; 504: perhaps published |
//! | `POST /publish?topic=prices&event_key=EUR` | the same; in a topic of `--latest-per-key`, it takes the place of the event with this key. `remove_key=EUR` takes the key away |
//! | `GET /clients` | JSON: `total`, `topics` with a count each, and the `clients` of this node |
//! | `GET /cluster` | JSON: `nodes` with the number of clients of each, and all `clients` |
//! | `DELETE /clients/{id}` | ends that client's stream, on any node |
//! | `DELETE /principals/{principal}` | ends all streams of a principal, on all nodes; JSON `{"closed": 2, "silent": []}` |
//! | `GET /healthz` | `ok`, or 503 and the reason when no clients should be sent here |
//! | `GET /metrics` | metrics for Prometheus |
//! | `GET /` | the live page |
//!
//! With a token, all but `/events`, `/healthz` and the page ask for it: [`access`].
//!
//! [`query`] parses these requests; [`publishing`], [`clients`], [`cluster`] and [`health`] answer them. [`page`] has the files
//! of the live page, and [`demo`] publishes the events that it shows. [`options`] has the flags, [`log`] opens the log,
//! and [`program`] is the start and the end.

pub mod access;
pub mod clients;
pub mod cluster;
pub mod demo;
pub mod health;
pub mod log;
pub mod options;
pub mod page;
pub mod program;
pub mod publishing;
pub mod query;
pub mod refusal;
