//! Who may use a console: whoever has sent its token, for a while.

use std::fmt::{self, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// How long a session is good for.
pub(crate) const LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);

const COOKIE: &str = "tidings-console";

/// The token, which gives sessions and recognises them.
pub(crate) struct Token {
    token: Box<str>,
    attempts: Attempts,
}

/// Why somebody is not logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogInError {
    Wrong,
    TooMany,
}

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.into(), attempts: Attempts::new(10, Duration::from_secs(1)) }
    }

    /// The value of a new session's cookie.
    pub(crate) fn log_in(&self, token: &[u8]) -> Result<String, LogInError> {
        // Also the right token has to wait, or the limit would be none.
        if !self.attempts.allow() {
            return Err(LogInError::TooMany);
        }
        match token.ct_eq(self.token.as_bytes()).into() {
            true => Ok(self.session(now() + LIFETIME.as_secs())),
            false => Err(LogInError::Wrong),
        }
    }

    /// When the session expires that one of the cookies is of; `None` if there is none, or it has.
    pub(crate) fn expiry(&self, cookies: &[&[u8]]) -> Option<SystemTime> {
        let pairs = cookies.iter().flat_map(|header| header.split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| {
            std::str::from_utf8(pair).ok()?.trim().strip_prefix(COOKIE)?.strip_prefix('=')
        });
        let expires = values.find_map(|value| self.recognise(value, now()))?;
        UNIX_EPOCH.checked_add(Duration::from_secs(expires))
    }

    /// No state: any node with the token recognises it.
    pub(crate) fn session(&self, expires: u64) -> String {
        let mut value = format!("{expires}.");
        for byte in self.mac(expires).finalize().into_bytes() {
            // A string is always written.
            let _ = write!(value, "{byte:02x}");
        }
        value
    }

    fn recognise(&self, value: &str, now: u64) -> Option<u64> {
        let (expires, mac) = value.split_once('.')?;
        let expires = expires.parse().ok()?;
        // In constant time.
        self.mac(expires).verify_slice(&bytes(mac)?).ok()?;
        (now < expires).then_some(expires)
    }

    fn mac(&self, expires: u64) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.token.as_bytes())
            .expect("HMAC takes a key of any length");
        mac.update(b"tidings-console session ");
        mac.update(&expires.to_be_bytes());
        mac
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The header `Set-Cookie`. A browser that uses https sends the cookie over nothing else.
pub(crate) fn set_cookie(value: &str, path: &str, lifetime: Duration, is_https: bool) -> String {
    let secure = if is_https { "; Secure" } else { "" };
    let seconds = lifetime.as_secs();
    format!("{COOKIE}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// The bytes of hexadecimal digits.
fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = hexadecimal.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// Counts attempts in a window of time, over all clients.
#[derive(Debug)]
struct Attempts {
    most: u32,
    window: Duration,
    /// Since when, and how many.
    counted: Mutex<Option<(Instant, u32)>>,
}

impl Attempts {
    fn new(most: u32, window: Duration) -> Self {
        Self { most, window, counted: Mutex::new(None) }
    }

    fn allow(&self) -> bool {
        let mut counted = self.counted.lock();
        let (since, count) = counted
            .filter(|(since, _)| since.elapsed() < self.window)
            .unwrap_or((Instant::now(), 0));
        *counted = Some((since, count.saturating_add(1)));
        count < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::new("s3cret")
    }

    fn cookie(value: &str) -> String {
        format!("a=b; {COOKIE}={value};c=d")
    }

    #[test]
    fn a_session_is_recognised_by_whoever_has_the_same_token() {
        let value = token().log_in(b"s3cret").unwrap();
        let header = cookie(&value);
        assert!(token().expiry(&[b"x=y", header.as_bytes()]).is_some());
        assert!(Token::new("other").expiry(&[header.as_bytes()]).is_none());
        assert!(token().expiry(&[]).is_none());
    }

    #[test]
    fn a_session_that_was_changed_is_none() {
        let value = token().session(now() + 60);
        let (expires, mac) = value.split_once('.').unwrap();
        let later = expires.parse::<u64>().unwrap() + 1;
        for bad in [
            format!("{later}.{mac}"),
            format!("{expires}.{}", &mac[..mac.len() - 2]),
            format!("{expires}.{mac}00"),
            format!("{expires}.{}", mac.replace(|_| true, "0")),
            format!("{expires}.é"),
            format!("{expires}."),
            expires.to_owned(),
            "s3cret".to_owned(),
            String::new(),
        ] {
            assert!(token().expiry(&[cookie(&bad).as_bytes()]).is_none(), "{bad}");
        }
        assert!(token().expiry(&[cookie(&value).as_bytes()]).is_some());
        assert!(token().expiry(&[b"\xff\xfe"]).is_none());
    }

    #[test]
    fn a_session_expires() {
        let value = token().session(1_000);
        assert_eq!(token().recognise(&value, 999), Some(1_000));
        assert_eq!(token().recognise(&value, 1_000), None);
    }

    #[test]
    fn attempts_have_a_limit_and_the_limit_a_window() {
        let mut token = token();
        token.attempts = Attempts::new(3, Duration::from_secs(3600));
        for wrong in ["", "s3cre", "s3cret2"] {
            assert_eq!(token.log_in(wrong.as_bytes()), Err(LogInError::Wrong));
        }
        assert_eq!(token.log_in(b"s3cret"), Err(LogInError::TooMany));
        token.attempts.window = Duration::ZERO;
        assert!(token.log_in(b"s3cret").is_ok());
        assert_eq!(token.log_in(b"x"), Err(LogInError::Wrong));
    }

    #[test]
    fn the_cookie_is_for_the_console_and_its_scripts_do_not_see_it() {
        assert_eq!(
            set_cookie("7.ff", "/console", Duration::from_secs(60), true),
            "tidings-console=7.ff; Path=/console; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(!set_cookie("7.ff", "/", LIFETIME, false).contains("Secure"));
    }

    #[test]
    fn the_token_is_not_shown() {
        assert_eq!(format!("{:?}", token()), "Token");
    }
}
