//! Which public types threads can share, and which they can only send to each other: checked when this is compiled.

use tidings_net::*;

const fn shared<T: Send + Sync>() {}
const fn sent<T: Send>() {}

const _: () = {
    shared::<Activity>();
    shared::<Answering>();
    shared::<ReadingBody>();
    shared::<AddressPermit>();
    shared::<Connections>();
    shared::<Permit>();
    shared::<TooMany>();
    shared::<Hubs>();
    shared::<Limits>();
    shared::<Network>();
    shared::<ParseNetworkError>();
    shared::<Peer>();
    shared::<Protocol>();
    shared::<Options>();
    shared::<Transport>();
    shared::<ParseTransportError>();
    shared::<Sending>();
    shared::<Tls>();
    sent::<Graceful>();
    sent::<Reception>();
    sent::<Guarded<tokio::net::TcpStream>>();
    sent::<Received<tokio::net::TcpStream>>();
    sent::<Stall>();
};
