//! Opens any number of streams of server-sent events, and reports how fast and how correctly the
//! server sends them.
//!
//! It is a program, `tidings-load`, for any endpoint that speaks `text/event-stream`, and a library
//! for benchmarks and tests.
//!
//! ```text
//! cargo install tidings-load
//! tidings-load http://127.0.0.1:3000/events?topic=load --clients 10000 --for 60s
//! ```
//!
//! With `--publish`, the load generator also publishes the events, so that one command measures a hub
//! from end to end. Here it measures one of the example hubs:
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
//! ms                   p50       p90       p99     p99.9       max          count
//! connect             0.06      0.60      8.49     13.94     17.10          5,000
//! first byte          0.12      2.10     26.98     37.60     39.65          5,000
//! latency            29.45     45.15     52.35     60.93     63.71        422,514
//! ...
//! ```
//!
//! # What it does
//!
//! | option | effect | default |
//! |---|---|---|
//! | `--clients`, `--for` | the number of clients, and the length of the run, including the ramp | 100, 10 s |
//! | `--ramp`, `--connect-rate` | the time over which the clients connect, or how many connect a second | 5,000 a second, for at most half of the run |
//! | `--header 'Name: value'` | a header of every request; may be repeated | |
//! | `--http2`, `--streams-per-connection` | clients share connections of HTTP/2, without TLS or upgrade, which the server must expect | HTTP/1.1; 100 |
//! | `--publish URL` | POSTs events, `--rate` a second, `--burst` at a time, of `--size` bytes: see [`Publishing`] | 10 a second, one at a time, 200 bytes |
//! | `--reconnect-every` | each client closes and resumes at this interval, spread over it | never |
//! | `--storm` | all clients close and resume at once, at this interval | never |
//! | `--retry` | the pause after the server has ended a stream that did not set one | 3 s |
//! | `--stalled 5%` | the part of the clients that read the head of the response, and then stop reading | none |
//! | `--slow 5%`, `--slow-rate` | the part of the clients that read slowly, and their bytes a second | none, 1 KiB |
//! | `--timestamp-field`, `--sequence-field`, `--stream-field` | the fields of an event's data: see [`Fields`] | `at`, `n`, `stream` |
//! | `--expect topic=load` | data without this field and text is foreign | nothing is foreign |
//! | `--json` | prints the [`Report`] as one line of JSON instead of the table | |
//! | `--html FILE` | writes it as one page with plots, which refers to nothing outside | |
//! | `--tolerate` | faults do not make the run fail | |
//!
//! Every client follows the HTML standard (9.2.3). It sends `Last-Event-ID` when it reconnects, waits
//! for the stream's `retry` when the server has ended its stream, and does not reconnect after a status
//! other than 200 or another content type.
//!
//! Ctrl-C ends a run early, with the measurements until then.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | no fault was found |
//! | 1 | the run failed; or, without `--tolerate`, there were faults: events were missed, doubled, out of order or foreign, clients were behind at the end, never got a stream or lost it, attempts to publish failed, or no client received what was published |
//! | 2 | the arguments are invalid |
//!
//! With 1 and 2, standard error names the cause.
//!
//! # How many clients
//!
//! A client is a socket and about three kilobytes. For more clients than one process may have, the
//! program starts further processes of itself; before that, it raises its limit of open files as far as
//! the system allows. From one address, a system can connect about 28,000 times to the same server. If
//! the server is at a loopback address of IPv4, on Linux, the clients also use 127.0.0.2, 127.0.0.3 and
//! so on. Elsewhere, use several machines.
//!
//! All clients of a process share one thread, which takes about 100,000 deliveries a second. `own
//! lag` (`generator_lag_ms`) is how late the load generator itself is. If it is not far below the
//! latency, then the load generator causes the latency, or the machine is too small for both ends.
//!
//! # What is measured
//!
//! - **connect**: from the first packet until the connection is made. If the server's queue of
//!   connections is full, it takes a second, after which systems try again, and then two and four.
//!   Some systems accept a connection for which they have no room; then the first byte is late
//!   instead. A connection that is never made is in none of the times.
//! - **first byte**: from the request until the head of the response has come.
//! - **latency**: from the time in the event's data until the event is read. The time is a field of a
//!   JSON object, `at`, or the number with which the data begins. Its magnitude tells milliseconds,
//!   microseconds and nanoseconds since the Unix epoch apart. Both clocks must agree, as those of one
//!   machine do. An event that was sent before the client's request is a replay: it is counted, but has
//!   no latency. Neither have the events of slow clients.
//! - **deliveries**: events with data, over all clients. A hub's own events, `tidings:status` and
//!   `tidings:end`, do not count.
//! - **lost**: clients that had a stream and have none at the end, because they were refused when
//!   they came back, could not connect, or had no answer for 5 seconds. A client that waits to
//!   reconnect has lost nothing yet, nor has one that is answered with 204, which is **finished**. A
//!   shorter wait for an answer is no fault, but the report names it (`unanswered`).
//! - **closed by the server**: streams that ended as a response should; a response with a length or in
//!   chunks that lacks its end was cut.
//! - **evicted**: stalled and slow clients whose connection the server has ended. A stalled client
//!   checks once more at the end of the run. It does not reconnect; a slow one does.
//!
//! # What judges what
//!
//! | fault | judged by |
//! |---|---|
//! | duplicates, order | the position in the event's id, `<epoch>-<position>`, `<position>` or that of a Redis Stream, for each client over all its connections; without one, the number in the data |
//! | missed events | the number in the data, for each client and stream; without one, comparison with the other clients of the same process |
//! | foreign events | `--expect` |
//! | behind at the end | the number of the last event that was published, 2 seconds after it; only with `--publish` |
//!
//! - *Positions need not be dense*: they count the events of the whole hub, of which a client receives
//!   its topics.
//! - *Numbers must be dense*. They go up by one within a stream, which is the event's name and, if
//!   present, the field `stream`. `--publish` numbers its events in this way. If numbers start again
//!   while the positions go on, the publisher has started again, which is no fault. If a position
//!   comes again while the numbers go on, ids repeat or have started again, which is none either. What
//!   a client should have had before its first number is not found.
//! - *Comparison*: a client has missed an event that other clients have if it has events before and
//!   after it. An event that no client of a process has is not found, nor one after a client's last
//!   event. Comparison needs ids with positions, and clients with the same topics. The first million
//!   events are compared.
//! - *Late or repeated*: the last 128 numbers are known. A number from further back counts as repeated.
//! - *Behind at the end*: a client that reads, streams, and did so when the last event was published,
//!   or has an id to resume from, must have that event. Events of `--publish` are told from others by
//!   their `stream`, so a server that changes the data is measured with `--tolerate`.
//! - *In vain*: that no client receives any event of `--publish` is a fault, also if their streams
//!   end too early to be behind. Only what was published after the first stream began counts.
//! - *Resets*: after a `tidings:status` event with the status `reset`, earlier events may come again,
//!   and others may be left out. Both have separate counts, and are no faults. A client without an id to
//!   resume from starts again in the same way, and so does a stream of numbers whose newest event had
//!   no id.
//! - *Epochs*: another epoch is another history, and each is judged for itself. Where the epoch changes
//!   with every event, ids say nothing, and numbers are judged as without ids.
//! - Events with neither position nor number are counted as `unjudged`, and so are numbers of streams
//!   beyond the first thousand of a client.
//!
//! # As a library
//!
//! [`Load`] is a whole run. [`Fleet`] is for benchmarks: it opens clients, waits until all of them
//! have received a number of events, and reports its measurements. [`Response`] is for a benchmark that
//! has its own event loop.
//!
//! # What it does not do
//!
//! There is no TLS: `https://` is refused. Events are published over HTTP/1.1, also with `--http2`.
//! Redirects are not followed, compression is not requested, and all clients use the same one of
//! several addresses of a name. An event of more than 16 MiB ends its connection.

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
pub use files::raise_open_file_limit;
pub use fleet::Fleet;
pub use load::{Load, Progress};
pub use plan::Plan;
pub use publisher::Publishing;
pub use report::{Moment, Published, Report, Times};
pub use response::{BadResponse, Head, Response};
pub use target::Target;
pub use workers::{WORKER_ARGUMENT, work};
