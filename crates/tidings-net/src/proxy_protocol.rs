//! The PROXY protocol, versions 1 and 2, in which a proxy says who its client is.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE_2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// The shortest header of version 1.
const UNKNOWN_1: &[u8; 15] = b"PROXY UNKNOWN\r\n";

/// The longest line of version 1, with its end.
const LINE_1: usize = 107;

/// Reads a header, and not a byte more. `None` if the proxy speaks for itself.
///
/// # Errors
///
/// If there is no header, or it cannot be understood.
pub(crate) async fn read(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    // The shortest header of both versions has at least as many bytes.
    let mut begin = [0; UNKNOWN_1.len()];
    io.read_exact(&mut begin).await?;
    if !begin.starts_with(SIGNATURE_2) {
        let mut line = begin.to_vec();
        while !line.ends_with(b"\r\n") {
            if line.len() == LINE_1 {
                return Err(bad());
            }
            line.push(io.read_u8().await?);
        }
        return version_1(&line);
    }
    let [version_command, family, length_high] = begin[12..] else { return Err(bad()) };
    let length = usize::from(u16::from_be_bytes([length_high, io.read_u8().await?]));
    // More than all of its addresses are extensions, of which there may be some.
    if length > 4096 {
        return Err(bad());
    }
    let mut rest = vec![0; length];
    io.read_exact(&mut rest).await?;
    version_2(version_command, family, &rest)
}

fn version_1(line: &[u8]) -> io::Result<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).map_err(|_| bad())?;
    let mut words = line.trim_end().split(' ');
    if words.next() != Some("PROXY") {
        return Err(bad());
    }
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(None);
    }
    let addr: IpAddr = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
    let port = words.nth(1).and_then(|word| word.parse().ok()).ok_or_else(bad)?;
    match (family, addr) {
        (Some("TCP4"), IpAddr::V4(_)) | (Some("TCP6"), IpAddr::V6(_)) => {
            Ok(Some(SocketAddr::new(addr, port)))
        }
        _ => Err(bad()),
    }
}

fn version_2(version_command: u8, family: u8, rest: &[u8]) -> io::Result<Option<SocketAddr>> {
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    match (version_command, family >> 4) {
        // LOCAL.
        (0x20, _) => Ok(None),
        (0x21, 1) => {
            let (addr, _) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
            if rest.len() < 12 {
                return Err(bad());
            }
            Ok(Some(SocketAddr::new(Ipv4Addr::from(*addr).into(), port(8))))
        }
        (0x21, 2) => {
            let (addr, _) = rest.split_first_chunk::<16>().ok_or_else(bad)?;
            if rest.len() < 36 {
                return Err(bad());
            }
            Ok(Some(SocketAddr::new(Ipv6Addr::from(*addr).into(), port(32))))
        }
        // A client of a Unix socket, or one that the proxy does not know.
        (0x21, _) => Ok(None),
        _ => Err(bad()),
    }
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "connection does not begin with a PROXY header")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parsed(bytes: &[u8]) -> Option<Result<String, ()>> {
        let rest = b"GET / HTTP/1.1\r\n\r\n";
        let all = [bytes, rest].concat();
        let mut io = &all[..];
        let client = read(&mut io).await;
        if client.is_ok() {
            assert_eq!(io, rest, "it has read too much");
        }
        match client {
            Ok(client) => client.map(|client| Ok(client.to_string())),
            Err(_) => Some(Err(())),
        }
    }

    #[tokio::test]
    async fn both_versions_name_the_client() {
        let v1 = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
        assert_eq!(parsed(v1.as_bytes()).await, Some(Ok("192.0.2.7:56324".into())));
        let v1 = "PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n";
        assert_eq!(parsed(v1.as_bytes()).await, Some(Ok("[2001:db8::7]:56324".into())));
        let v2 = [
            &SIGNATURE_2[..],
            &[0x21, 0x11, 0, 15],
            &[192, 0, 2, 7, 198, 51, 100, 1],
            &[0xdc, 4, 1, 187, 3, 0, 0],
        ]
        .concat();
        assert_eq!(parsed(&v2).await, Some(Ok("192.0.2.7:56324".into())));
        let (client, server) = (Ipv6Addr::from(7).octets(), Ipv6Addr::from(1).octets());
        let v2 =
            [&SIGNATURE_2[..], &[0x21, 0x21, 0, 36], &client, &server, &[0xdc, 4, 1, 187]].concat();
        assert_eq!(parsed(&v2).await, Some(Ok("[::7]:56324".into())));
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        assert_eq!(parsed(b"PROXY UNKNOWN\r\n").await, None);
        assert_eq!(parsed(&[&SIGNATURE_2[..], &[0x20, 0, 0, 0]].concat()).await, None);
    }

    #[tokio::test]
    async fn anything_else_is_an_error() {
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107));
        for bytes in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 56324 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1\r\n",
            &too_long,
        ] {
            assert_eq!(parsed(bytes.as_bytes()).await, Some(Err(())), "{bytes:?}");
        }
        for rest in
            [&[0x21, 0x11, 0, 4, 1, 2, 3, 4][..], &[0x31, 0x11, 0, 0], &[0x21, 0x11, 255, 255]]
        {
            assert_eq!(parsed(&[&SIGNATURE_2[..], rest].concat()).await, Some(Err(())));
        }
    }
}
