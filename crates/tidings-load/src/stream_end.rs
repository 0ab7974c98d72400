/// Why a stream has ended.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// The client's time to reconnect has come.
    Planned,
    /// All clients reconnect.
    Storm,
    /// The body ended as it should.
    Server,
    /// The connection was cut, or what came was malformed.
    Broken(String),
    /// There was no connection.
    NotConnected(String),
    /// The server does not want this client, now or ever (HTML standard, 9.2.3).
    Refused(String),
    /// 204 to a client that comes back: there is nothing more to stream.
    Finished,
    /// The server has ended the stream of a client that did not read.
    Evicted,
    /// The run has ended.
    RunEnded,
}
