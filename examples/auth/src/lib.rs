//! What the authentication examples share: users and their permissions.
//!
//! Each of them serves the same interface:
//!
//! | request | answer |
//! |---|---|
//! | `POST /login`, form `user`, `password` | a session, as a cookie |
//! | `POST /token` | JSON: a `token` for `/events`, and for how many seconds it is valid |
//! | `GET /events` | the stream of `news` and the caller's own `user:ID`; `?topic=` picks from these |
//! | `POST /notify/{user}`, form `text` | publishes to `user:ID`; JSON `{"id": "…"}` |
//! | `POST /news`, form `text` | publishes to `news`; JSON `{"id": "…"}` |
//! | `GET /streams` | JSON: the number of open streams, of `yours` and of `all` |
//! | `POST /logout` | ends the session, and the open streams of its user |
//!
//! A caller authenticates in one of three ways:
//!
//! - by the session's **cookie**: a browser's `EventSource` sends it automatically, also to another origin of the same
//!   site with `{ withCredentials: true }`;
//! - by an **access token**, `Authorization: Bearer …`: for programs, and for pages that read the
//!   stream with `fetch`;
//! - by a **query token**, `/events?token=…`: for an `EventSource` on a page of another site, which can neither set
//!   headers nor rely on cookies. [`accounts`] explains its limits.
//!
//! A caller with missing or wrong credentials gets 401. A caller who asks for another user's topic gets 403. Both come
//! before the stream.
//!
//! ```sh
//! curl -c jar -d user=ada -d password=engine http://127.0.0.1:3000/login
//! curl -b jar -N http://127.0.0.1:3000/events
//! curl -H 'Authorization: Bearer access-of-grace' -d text=Hello http://127.0.0.1:3000/notify/ada
//! ```
//!
//! [`users`] has the users, [`grants`] their sessions and tokens, and [`accounts`] finds the user of a request. [`app`]
//! answers the requests. [`options`] has the flags.

pub mod accounts;
pub mod app;
pub mod grants;
pub mod options;
pub mod refusal;
pub mod secret;
pub mod users;

pub use hub_example::program;
