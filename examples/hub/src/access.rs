//! Who may publish, look inside and end streams: everybody on the machine, but no page of another site; or those who have the
//! token.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::refusal::Refusal;

/// What `--token` says.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        match text.is_empty() || !is_visible {
            true => Err("token must be visible ASCII characters without spaces"),
            false => Ok(Self(text.into())),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Decides for each request to `/publish`, `/finish`, `/clients`, `/cluster`, `/principals` and `/metrics`.
#[derive(Debug, Clone)]
pub struct Access(Option<Token>);

impl Access {
    /// Without a token, everybody who can reach `address` has access, so that must be a loopback address.
    ///
    /// # Errors
    ///
    /// When it is not: a sentence that says what to do.
    pub fn new(token: Option<Token>, address: SocketAddr) -> Result<Self, String> {
        match token.is_some() || address.ip().to_canonical().is_loopback() {
            true => Ok(Self(token)),
            false => Err(format!(
                "cannot listen on {address} without a token: anybody could publish and end streams; \
                 set --token or TIDINGS_TOKEN"
            )),
        }
    }

    /// Checks the headers of a request, which `header` finds by their names.
    ///
    /// # Errors
    ///
    /// When they do not have the token: 401. Without one, when a page of another origin, or with a public name, sends the
    /// request: 403.
    pub fn check<'a>(&self, header: impl Fn(&str) -> Option<&'a [u8]>) -> Result<(), Refusal> {
        let Some(Token(token)) = &self.0 else {
            return check_page(header("origin"), header("host"));
        };
        let given = header("authorization").and_then(bearer).unwrap_or_default();
        match given.ct_eq(token.as_bytes()).into() {
            true => Ok(()),
            false => Err(Refusal {
                status: 401,
                reason: "token is missing or wrong; send `Authorization: Bearer TOKEN`".to_owned(),
            }),
        }
    }
}

/// Any page that is open on this machine can send a request here, though it cannot read the answer: unless its own name leads here,
/// too. Its browser says whose page it is.
fn check_page(origin: Option<&[u8]>, host: Option<&[u8]>) -> Result<(), Refusal> {
    let Some(origin) = origin else { return Ok(()) };
    let page = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    match page.is_some_and(|page| !is_public_name(page)) && page == host {
        true => Ok(()),
        false => Err(Refusal {
            status: 403,
            reason: "origin is not this host, or a public name; pages of others need a token"
                .to_owned(),
        }),
    }
}

/// Whether a host, with a port or without, is a name that anybody could have. Names without a dot are of the local network.
fn is_public_name(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.contains('.') && literal.parse::<IpAddr>().is_err()
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(token: Option<&str>, address: &str) -> Result<Access, String> {
        let token = token.map(|token| token.parse().unwrap());
        Access::new(token, address.parse().unwrap())
    }

    fn check(access: &Access, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        access.check(|name| {
            let header = headers.iter().find(|(it, _)| *it == name);
            header.map(|(_, value)| value.as_bytes())
        })
    }

    #[test]
    fn without_a_token_only_a_loopback_address_will_do() {
        for address in ["127.0.0.1:80", "127.1.2.3:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert!(check(&access(None, address).unwrap(), &[]).is_ok(), "{address}");
        }
        for address in ["0.0.0.0:80", "[::]:80", "192.168.0.1:80", "[::ffff:10.0.0.1]:80"] {
            assert!(access(None, address).is_err(), "{address}");
            assert!(check(&access(Some("x"), address).unwrap(), &[]).is_err(), "{address}");
        }
    }

    #[test]
    fn only_the_whole_token_gives_access() {
        let access = access(Some("s3cret"), "127.0.0.1:80").unwrap();
        for header in ["Bearer s3cret", "bearer s3cret"] {
            assert!(check(&access, &[("authorization", header)]).is_ok(), "{header}");
        }
        for header in
            ["", "s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret"]
        {
            let refusal = check(&access, &[("authorization", header)]).unwrap_err();
            assert_eq!(refusal.status, 401, "{header}");
        }
        assert!(access.check(|_| Some(&b"\xff\xff\xff\xff\xff\xff\xff\xff"[..])).is_err());
    }

    #[test]
    fn without_a_token_only_pages_of_the_host_itself_have_access() {
        let open = access(None, "127.0.0.1:80").unwrap();
        let of = |origin| check(&open, &[("host", "localhost:3000"), ("origin", origin)]);
        for origin in ["http://localhost:3000", "https://localhost:3000"] {
            assert!(of(origin).is_ok(), "{origin}");
        }
        for origin in ["https://evil.example", "http://localhost", "localhost:3000", "null", ""] {
            assert_eq!(of(origin).unwrap_err().status, 403, "{origin}");
        }
        assert!(check(&open, &[("origin", "null")]).is_err());
        // A page whose own name leads here has the same host.
        let is_let_in = |host: &str| {
            check(&open, &[("host", host), ("origin", &format!("http://{host}"))]).is_ok()
        };
        for host in ["127.0.0.1", "127.1.2.3:80", "[::1]:80", "[::ffff:127.0.0.1]", "hub:80"] {
            assert!(is_let_in(host), "{host}");
        }
        for host in ["evil.example:3000", "127.0.0.1.evil.example", "[::1].evil:80", "1.2.3.4.5"] {
            assert!(!is_let_in(host), "{host}");
        }
        // A token is what a page of another site does not have.
        let headers = [("origin", "https://evil.example"), ("authorization", "Bearer s3cret")];
        assert!(check(&access(Some("s3cret"), "127.0.0.1:80").unwrap(), &headers).is_ok());
    }

    #[test]
    fn a_token_fits_into_a_header_and_is_not_shown() {
        for text in ["", "two words", "line\n", "\u{e9}"] {
            assert!(text.parse::<Token>().is_err(), "{text:?}");
        }
        assert_eq!(format!("{:?}", "s3cret".parse::<Token>().unwrap()), "Token");
    }
}
