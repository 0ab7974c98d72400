/// What a server reports to the hubs whose streams it sends, for their [`Metrics`](crate::Metrics): see
/// [`Hub::report`](crate::Hub::report).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A connection was refused: because of a limit, because no file was left for it, or because it is a proxy's and does not
    /// begin with a header of the PROXY protocol, where it must.
    ConnectionRefused,
    /// A connection that waited for a request, its first or its next, was ended to make room for another.
    ConnectionEvicted,
    /// A connection was ended by a limit on its time: for its first bytes, a request, the next request, or reading what
    /// it was sent.
    ConnectionTimedOut,
    /// A connection was ended because its client has sent more than it may: a head of a request that is too large, control
    /// frames of HTTP/2, or bytes while it is answered.
    ConnectionFlooded,
    /// A stream of HTTP/2 was reset: none of what it had to send was sent within the limit on time.
    StreamStalled,
    /// A writer thread failed. Its streams have ended, and it serves new ones.
    WriterRestarted,
}
