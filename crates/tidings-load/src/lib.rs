//! Opens any number of streams of server-sent events, and tells how fast, and whether rightly,
//! they are served.
//!
//! It is a program, `tidings-load`, for any endpoint that speaks `text/event-stream`, and a library
//! for benchmarks and tests.
//!
//! ```text
//! cargo install tidings-load
//! tidings-load http://127.0.0.1:3000/events?topic=load --clients 10000 --for 60s
//! ```
//!
//! What the clients receive is published by whoever publishes. With `--publish` it is the load
//! generator itself, so that one command measures a hub from end to end. Here against one of the
//! example hubs:
//!
//! ```text
//! tidings-load 'http://127.0.0.1:3000/events?topic=load' --clients 5000 --ramp 3s \
//!     --publish 'http://127.0.0.1:3000/publish?topic=load' --rate 10 --html report.html
//!
//! http://127.0.0.1:3000/events?topic=load
//! 10.0 s, 5,000 clients
//!
//! clients               5,000 streamed                5,000 at the end
//! connections           5,000 opened                      0 failed or cut
//! deliveries          422,515 events                 42,245 a second               60,240 at the peak
//! ...
//! ms                   p50       p90       p99     p99.9       max     count
//! connect             0.06      0.60      8.49     13.94     17.10          5,000
//! first byte          0.12      2.10     26.98     37.60     39.65          5,000
//! latency            29.45     45.15     52.35     60.93     63.71        422,514
//! ...
//! ```
//!
//! # What it does
//!
//! | option | what happens | default |
//! |---|---|---|
//! | `--clients`, `--for` | so many clients for so long, the ramp included | 100, 10 s |
//! | `--ramp`, `--connect-rate` | they connect over a time, or so many a second | 5,000 a second, and not longer than half of the run |
//! | `--header 'Name: value'` | a header of every request; may be repeated | |
//! | `--http2`, `--streams-per-connection` | clients share connections of HTTP/2, which the server must expect (no TLS, no upgrade) | HTTP/1.1; 100 |
//! | `--publish URL` | POSTs events, `--rate` a second, `--burst` at a time, of `--size` bytes: see [`Publishing`] | 10 a second, one at a time, 200 bytes |
//! | `--reconnect-every` | each client closes and resumes at this interval, spread over it | never |
//! | `--storm` | all clients close and resume at once, at this interval | never |
//! | `--retry` | the pause after the server has ended a stream that did not set one | 3 s |
//! | `--stalled 5%` | so many clients read the head of the response, and then nothing more | none |
//! | `--slow 5%`, `--slow-rate` | so many clients read no more than so many bytes a second | none, 1 KiB |
//! | `--timestamp-field`, `--sequence-field`, `--stream-field` | what is read from an event's data: see [`Fields`] | `at`, `n`, `stream` |
//! | `--expect topic=load` | data that does not say so is foreign | nothing is foreign |
//! | `--json` | writes the [`Report`] as one line of JSON instead of the table | |
//! | `--html FILE` | writes it as one page with plots, which refers to nothing outside | |
//! | `--tolerate` | faults do not make the run fail | |
//!
//! Every client behaves as the HTML standard (9.2.3) says: it sends `Last-Event-ID` when it comes
//! back, waits as long as the stream's `retry` says when the server has ended its stream, and does
//! not come back when it is answered with a status other than 200 or with another content type.
//!
//! Ctrl-C ends a run early, with what was measured until then.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | all is well |
//! | 1 | the run failed; or, without `--tolerate`, there were faults: events were missed, doubled, out of order or foreign, clients were behind at the end or never got a stream, events could not be published |
//! | 2 | the arguments make no sense |
//!
//! In each case a sentence on standard error says what it was.
//!
//! # How many clients
//!
//! A client is a socket and some three kilobytes. What one process may not open, several do: it
//! raises its limit of open files as far as it may, then starts itself as often as it takes. From
//! one address a system connects some 28,000 times to the same server. If the server is at a
//! loopback address of IPv4, on Linux, clients are spread over 127.0.0.2, 127.0.0.3 and so on;
//! elsewhere, use several machines.
//!
//! All clients of a process share one thread, which takes more than 100,000 deliveries a second. If
//! `own lag` (`generator_lag_ms`), the time by which the load generator itself is late, is not far
//! below the latency, then the latency is its own, or that of a machine that is too small for both
//! ends.
//!
//! # What is measured
//!
//! - **connect**: from the first packet until the connection is made. A full queue of the server
//!   shows as a second, the time after which systems try again, and then two and four; or, when the
//!   system takes a connection that it has no room for, as a first byte that late.
//! - **first byte**: from the request until the first byte of the stream.
//! - **latency**: from the time in the event's data until it was read. That is a field of a JSON
//!   object, `at`, or the number with which the data begins; milliseconds, microseconds and
//!   nanoseconds since the Unix epoch are told apart by their magnitude. It takes two clocks that
//!   agree: those of one machine do. What was sent before the client's request was is a replay, is
//!   counted as one, and has no latency. Slow readers have none either.
//! - **deliveries**: events with data, over all clients. A hub's own `tidings:status` events are
//!   not among them.
//! - **let go**: stalled and slow clients whose connection the server has ended. A stalled client
//!   looks once more at the end of the run. It stays away, a slow one comes back.
//!
//! # What is judged by what
//!
//! | fault | is judged by |
//! |---|---|
//! | duplicates, order | the position in the event's id, `<epoch>-<position>` or `<position>`, for each client over all its connections; without one, the number in the data |
//! | missed events | the number in the data, for each client and stream; without one, comparison with the other clients of the same process |
//! | foreign events | `--expect` |
//! | behind at the end | the newest number in the process, 2 seconds after the last event was published; only with `--publish` |
//!
//! - *Positions may have holes*: they count the events of the whole hub, of which a client sees
//!   its topics. A hole is no gap.
//! - *Numbers must have none*. They go up by one within a stream, which is the event's name and, if
//!   there is one, the field `stream`. Those of `--publish` do. If numbers begin again while the
//!   positions go on, whoever counts has begun again, which is no fault.
//! - *Comparison*: a client that has events before and after one that other clients have, but not
//!   this one, has missed it. What no client of a process has is not found, nor what comes after a
//!   client's last event. It takes ids with positions, and clients that may see the same. The
//!   first million events are compared.
//! - *Late or repeated*: the last 128 numbers are known. What comes from further back counts as
//!   repeated.
//! - *Resets*: after a `tidings:status` event whose status is `reset`, earlier events may come
//!   again, and others be left out. Both are counted apart, and are no faults. A client without an
//!   id to resume from begins anew in the same way. Another epoch is another history.
//! - Events with neither position nor number are counted as `unjudged`.
//!
//! # As a library
//!
//! [`Load`] is a whole run. [`Fleet`] is for benchmarks: it opens clients, waits until all of them
//! have received so many events, and tells what was measured.
//!
//! # What it does not do
//!
//! There is no TLS: `https://` is refused. Events are published over HTTP/1.1, also with `--http2`.
//! Redirects are not followed, compression is not asked for, and of the addresses that a name has
//! all clients use the same one.

mod client;
mod comparison;
mod context;
mod counts;
mod error;
mod fields;
mod files;
mod fleet;
mod http1;
mod http2;
mod judge;
mod latency;
mod load;
mod measures;
mod plan;
mod publisher;
mod report;
mod response;
mod stream;
mod stream_end;
mod target;
mod track;
mod workers;

pub use counts::{Clients, Connections, Deliveries, Verdict};
pub use error::{LoadError, LoadErrorKind};
pub use fields::Fields;
pub use fleet::Fleet;
pub use load::{Load, Progress};
pub use plan::Plan;
pub use publisher::Publishing;
pub use report::{Moment, Published, Report, Times};
pub use target::Target;
pub use workers::{WORKER_ARGUMENT, work};
