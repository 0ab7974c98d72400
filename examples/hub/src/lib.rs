//! What the example hubs have in common, whatever their framework.
//!
//! Each of them serves the same interface:
//!
//! | request | answer |
//! |---|---|
//! | `GET /events?topic=a&topic=b:*&history=20&principal=ada` | the stream; `*` stands for any run of characters; `history` is for fresh clients, `principal` says whose it is; both may be left out |
//! | `POST /publish?topic=a&event=price&key=order-17` | publishes the body as data; JSON `{"id": "…", "subscribers": 1, "duplicate": false}`. With a `key` it can be sent again. 503 and 507: nothing has happened; 504: it may have |
//! | `GET /clients` | this node's, as JSON: `total`, `topics` with a count each, and the `clients` |
//! | `GET /cluster` | JSON: `nodes` with the number of clients of each, and all `clients` |
//! | `DELETE /clients/{id}` | ends that client's stream, on whatever node it is |
//! | `DELETE /principals/{principal}` | ends all streams of a principal, on all nodes; JSON `{"closed": 2, "silent": []}` |
//! | `GET /healthz` | `ok`, or 503 and the reason when no clients should be sent here |
//! | `GET /metrics` | figures for Prometheus |
//! | `GET /` | the live page |
//!
//! Here is what these requests *mean*: [`query`] reads them, [`publishing`], [`clients`], [`cluster`] and
//! [`health`] answer them, [`page`] has the files of the live page and [`demo`] the events that it shows.
//! [`options`] are the flags, [`log`] is where events are kept, [`shutdown`] is the end.

pub mod clients;
pub mod cluster;
pub mod demo;
pub mod health;
pub mod log;
pub mod options;
pub mod page;
pub mod publishing;
pub mod query;
pub mod refusal;
pub mod shutdown;
