//! What the example hubs have in common, whatever their framework.
//!
//! Each of them serves the same interface:
//!
//! | request | answer |
//! |---|---|
//! | `GET /events?topic=a&topic=b&history=20` | the stream; `history` is for fresh clients, and may be left out |
//! | `POST /publish?topic=a&event=price&key=order-17` | publishes the body as data; JSON `{"id": "…", "subscribers": 1, "duplicate": false}`. With a `key` it can be sent again. 503 and 507: nothing has happened; 504: it may have |
//! | `GET /clients` | JSON: `total`, `topics` with a count each, and the `clients` |
//! | `DELETE /clients/{id}` | ends that client's stream |
//! | `GET /healthz` | `ok`, or 503 when the hub is shutting down |
//! | `GET /` | the live page |
//!
//! Here is what these requests *mean*: [`query`] reads them, [`publishing`] and [`clients`] answer
//! them, [`page`] has the files of the live page and [`demo`] the events that it shows.
//! [`options`] are the flags, [`log`] is where events are kept, [`shutdown`] is the end.

pub mod clients;
pub mod demo;
pub mod log;
pub mod options;
pub mod page;
pub mod publishing;
pub mod query;
pub mod refusal;
pub mod shutdown;
