use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

/// Room for the connections of a reconnect storm, the same for every server.
pub(crate) const BACKLOG: i32 = 4096;

/// A listener, whose address is printed once it accepts connections.
pub(super) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    println!("listening on http://{}/", listener.local_addr()?);
    Ok(listener)
}
