//! What the example hubs share.
//!
//! Each of them serves the same interface:
//!
//! | request | answer |
//! |---|---|
//! | `GET /events?topic=a&topic=b:*&history=20&principal=ada&client_key=phone&heartbeat=ping&expires_in=900` | the stream; `*` stands for any characters; `history` is for fresh clients, `principal` names the user and `client_key` what else counts for the [`limits`], `heartbeat` the event that an idle stream sends, `expires_in` the seconds after which it ends; all five are optional |
//! | `POST /publish?topic=a&event=price&key=order-17&source=ada` | publishes the body as data; JSON `{"id": "…", "subscribers": 1, "duplicate": false}`. With a `key` it can be retried; a `source` may publish so much. 429, 503 and 507: not published; 504: perhaps published |
//! | `POST /publish?topic=a&attr.role=admin`, `GET /events?topic=a&filter.role=admin` | an event with attributes, and a stream of those that match: [`attributes`] |
//! | `POST /publish?topic=prices&event_key=EUR` | an event that, in a topic of `--latest-per-key`, takes the place of the event with this key. `remove_key=EUR` takes the key away |
//! | `POST /finish?topic=a&event=done&key=order-17` | the same for the last event of a topic; 409 if it is finished already, as for `/publish` |
//! | `GET /position` | JSON `{"id": "…"}`: where a stream begins that is opened with `?lastEventId=` |
//! | `GET /history?topic=a&topic=b:*&last=20` | the newest events of these topics (20, at most 100, and at most a megabyte), as JSON `{"events": [{"id": "…", "event": "message", "data": "…"}], "position": "…"}`; the position is where the stream goes on |
//! | `GET /rendered?topic=a&last=20&event=tick` | a page that shows these events (those named `message`, and `tick`), and goes on with the stream, without a gap |
//! | `GET /presence?topic=room/1` | who is on a topic of `--presence`, on all nodes, as JSON `[{"principal": "ada", "since": 1764223200000, "nodes": ["…"]}]`; `/events?topic=room/1&principal=ada` joins it, and `/events?topic=presence/room/1&history=all` is told who comes and goes |
//! | `GET /clients` | JSON: `total`, `topics` with a count each, and the `clients` of this node |
//! | `GET /cluster` | JSON: `nodes` with the number of clients of each, and all `clients` |
//! | `DELETE /clients/{id}` | ends that client's stream, on any node |
//! | `POST /clients/{id}/topics?add=b&remove=a&history=20` | changes the topics of that client's open stream; JSON `{"topics": ["b"]}`, if it is on this node |
//! | `DELETE /principals/{principal}` | ends all streams of a principal, on all nodes; JSON `{"closed": 2, "silent": []}` |
//! | `GET /healthz` | `ok`, or 503 and the reason when no clients should be sent here |
//! | `GET /metrics` | metrics for Prometheus |
//! | `GET /` | the live page |
//! | `GET /console` | with a token: the [console](tidings_console), which asks for it |
//!
//! What the limits do is seen with flags and curl:
//!
//! | flags | try | what is seen |
//! |---|---|---|
//! | `--streams-per-principal 1` | two of `curl -N 'localhost:3000/events?topic=a&principal=ada'` | the second ends at once: `tidings:end`, `{"reason":"limited","limit":"principal"}`, and `retry` |
//! | … `--over-limit supersede` | the same | the first ends: `{"reason":"superseded"}` |
//! | … `--over-limit status` | the same | the second is 429 |
//! | `--streams-per-client-key 1`, `--streams-per-topic 1` | two with the same `client_key`, or of the same topic | as above |
//! | `--publications-per-source 2` | `curl -d x 'localhost:3000/publish?topic=a&source=ada'`, three times | the third is 429 |
//! | `--max-lifetime 10` | `curl -N 'localhost:3000/events?topic=a'` | it ends after 8 to 12 s: `{"reason":"lifetime"}` |
//! | `--drain-over 10` | a few streams, then SIGTERM | they end one after the other: `{"reason":"drained"}`; `/healthz` is 503, and a new stream is turned away |
//!
//! With a token, all but `/events`, `/position`, `/history`, `/presence`, `/healthz` and the pages ask for it: [`access`].
//!
//! [`query`] parses these requests; [`publishing`], [`history`], [`presence`], [`rendered`], [`clients`], [`client_topics`], [`cluster`] and
//! [`health`] answer them. [`page`] has the files of the pages, and [`demo`] publishes the events that it shows. [`options`] has the flags, [`log`] opens the log,
//! [`limits`] those of the hub, and [`program`] is the start and the end.

pub mod access;
pub mod attributes;
pub mod client_topics;
pub mod clients;
pub mod cluster;
pub mod demo;
pub mod health;
pub mod history;
pub mod limits;
pub mod log;
pub mod options;
pub mod page;
pub mod presence;
pub mod program;
pub mod publishing;
pub mod query;
pub mod refusal;
pub mod rendered;
