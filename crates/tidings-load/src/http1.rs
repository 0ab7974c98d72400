//! Clients with a connection each: HTTP/1.1.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::context::FleetContext;
use crate::measures::wall_micros;
use crate::plan::ClientKind;
use crate::response::Response;
use crate::stream::{self, StreamReader};
use crate::stream_end::StreamEnd;

const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// One buffer for all clients of a thread: a client uses up what it has read before the next
    /// one reads.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// One stream, from the first packet of its connection to its end.
pub(crate) async fn stream(
    fleet: &FleetContext,
    client: usize,
    kind: ClientKind,
    began: &Notify,
    reconnect_due: impl Future<Output = StreamEnd>,
) -> StreamEnd {
    let asked = Instant::now();
    let connected = timeout(stream::CONNECT_LIMIT, stream::connect(fleet, client, kind)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return StreamEnd::NotConnected(stream::reason(&error)),
        Err(_) => return stream::timed_out(),
    };
    let request = {
        let mut measures = fleet.measures.lock();
        measures.tally.connect.record(stream::micros_since(asked));
        fleet.plan.target.get(measures.last_id(client))
    };
    let reader = StreamReader::new(fleet, client, began);
    let mut http1 = Http1 { response: Response::new(), reader };
    if let Err(error) = stream.write_all(&request).await {
        return StreamEnd::Broken(stream::reason(&error));
    }
    drop(request);

    let mut reconnect_due = pin!(reconnect_due);
    loop {
        let read = tokio::select! {
            biased;
            end = &mut reconnect_due => return end,
            read = poll_fn(|cx| http1.poll(&mut stream, cx, kind)) => read,
        };
        if let Err(end) = read {
            return end;
        }
        match kind {
            ClientKind::Stalled if http1.reader.is_streaming => {
                return stall(fleet, &mut stream).await;
            }
            ClientKind::Slow if http1.reader.is_streaming => sleep(fleet.slow_pause).await,
            _ => {}
        }
    }
}

/// Does not read until the end of the run, then checks whether the server is still there.
async fn stall(fleet: &FleetContext, stream: &mut TcpStream) -> StreamEnd {
    let mut thaw = fleet.thaw.subscribe();
    tokio::select! {
        _ = stream.ready(Interest::ERROR) => return StreamEnd::Evicted,
        _ = thaw.wait_for(|thaw| *thaw) => {}
    }
    let read_all = async {
        while poll_fn(|cx| poll_read(stream, cx, READ_BYTES, <[u8]>::len)).await? > 0 {}
        io::Result::Ok(())
    };
    match timeout(stream::LAST_CHECK, read_all).await {
        // The end of the stream or an error had arrived already.
        Ok(_) => StreamEnd::Evicted,
        Err(_) => StreamEnd::RunEnded,
    }
}

/// Reads once, no more than `limit` bytes, and hands them to `take`; none at the end of the stream.
fn poll_read<T>(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    limit: usize,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    BUFFER.with_borrow_mut(|buffer| {
        let end = limit.min(buffer.len());
        let mut buffer = ReadBuf::new(buffer.get_mut(..end).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    })
}

struct Http1<'a> {
    response: Response,
    reader: StreamReader<'a>,
}

impl Http1<'_> {
    fn poll(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        kind: ClientKind,
    ) -> Poll<Result<(), StreamEnd>> {
        let limit = match kind {
            ClientKind::Slow if self.reader.is_streaming => self.reader.fleet.slow_bytes,
            _ => READ_BYTES,
        };
        let taken = ready!(poll_read(stream, cx, limit, |bytes| self.take(bytes)));
        Poll::Ready(match taken {
            Ok(taken) => taken,
            Err(error) => Err(StreamEnd::Broken(stream::reason(&error))),
        })
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), StreamEnd> {
        let Self { response, reader } = self;
        if bytes.is_empty() {
            return Err(match response.head() {
                None => StreamEnd::Broken("the connection ended before the response".into()),
                // A response without a length ends in this way.
                Some(_) if response.lasts_until_close() => StreamEnd::Server,
                Some(_) => StreamEnd::Broken("the connection ended inside the response".into()),
            });
        }
        let mut measures = reader.fleet.measures.lock();
        measures.tally.deliveries.bytes += bytes.len() as u64;
        let now = wall_micros();
        loop {
            let data = response.next_data(&mut bytes);
            let data = data.map_err(|bad| StreamEnd::Broken(bad.to_string()))?;
            if let Some(head) = response.head().filter(|_| !reader.is_streaming) {
                reader.begin(&mut measures, head)?;
            }
            match data {
                Some(data) => reader.body(&mut measures, data, now)?,
                None if response.is_complete() => return Err(StreamEnd::Server),
                None => return Ok(()),
            }
        }
    }
}
