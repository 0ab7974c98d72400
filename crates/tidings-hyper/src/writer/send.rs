use std::io;

use mio::net::TcpStream;

/// Writes what the socket takes. Asks Linux itself, because the way through the C library costs as much as all else that a
/// writer does for a stream.
#[cfg(any(target_os = "android", target_os = "linux"))]
#[inline]
pub(super) fn send(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(socket, bytes, rustix::net::SendFlags::NOSIGNAL)?)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
pub(super) fn send(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut socket, bytes)
}
