//! What the authentication examples have in common, whatever their framework: who is who, and who
//! may see what.
//!
//! Each of them serves the same interface:
//!
//! | request | answer |
//! |---|---|
//! | `POST /login`, form `user`, `password` | a session, as a cookie |
//! | `POST /token` | JSON: a `token` for `/events`, and for how many seconds it is good |
//! | `GET /events` | the stream of `news` and the caller's own `user:ID`; `?topic=` picks from these |
//! | `POST /notify/{user}`, form `text` | publishes to `user:ID`; JSON `{"id": "…"}` |
//! | `POST /news`, form `text` | publishes to `news`; JSON `{"id": "…"}` |
//! | `GET /streams` | JSON: the number of open streams, of `yours` and of `all` |
//! | `POST /logout` | ends the session, and the open streams of its user |
//!
//! Whoever calls says who they are in one of three ways:
//!
//! - by the session's **cookie**: what a browser's `EventSource` sends by itself, to another
//!   origin of the same site if it is made with `{ withCredentials: true }`;
//! - by an **access token**, `Authorization: Bearer …`: for programs, and for pages that read the
//!   stream with `fetch`;
//! - by a **query token**, `/events?token=…`: for an `EventSource` on a page of another site, which
//!   can neither set headers nor count on cookies. See [`accounts`] for its limits.
//!
//! A caller who says nothing or something wrong gets 401, one who asks for a topic of somebody else
//! 403, in both cases before there is a stream.
//!
//! ```sh
//! curl -c jar -d user=ada -d password=engine http://127.0.0.1:3000/login
//! curl -b jar -N http://127.0.0.1:3000/events
//! curl -H 'Authorization: Bearer access-of-grace' -d text=Hello http://127.0.0.1:3000/notify/ada
//! ```
//!
//! [`users`] are who there is, [`grants`] what a server gives out so that it knows them again;
//! [`accounts`] puts the two together, [`app`] answers the requests. [`options`] are the flags.

pub mod accounts;
pub mod app;
pub mod grants;
pub mod options;
pub mod refusal;
pub mod secret;
pub mod users;

pub use hub_example::shutdown;
