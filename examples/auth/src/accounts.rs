//! Finds the user of a request.
//!
//! # Query tokens
//!
//! A token in a URL is easier to leak than one in a header: through logs of servers and proxies, the browser's history, and
//! links that users share. So this token
//!
//! - opens `/events` and nothing else: it is not valid as an access token or a session;
//! - expires after seconds, which is enough to connect, so that a token from a log is useless;
//! - is revoked when its user logs out.
//!
//! It is needed to open a stream, not to keep it open: a stream continues when its token expires. When the *connection* ends
//! after that, the browser comes back with the old URL and gets 401, and `EventSource` gives up. The page handles that and
//! resumes with a new token:
//!
//! ```js
//! async function follow(lastEventId = "") {
//!   const { token } = await (await fetch(`${API}/token`, { method: "POST", headers })).json();
//!   const source = new EventSource(`${API}/events?${new URLSearchParams({ token, lastEventId })}`);
//!   source.addEventListener("tidings:status", (event) => lastEventId = event.lastEventId);
//!   source.addEventListener("notification", (event) => { lastEventId = event.lastEventId; /* … */ });
//!   source.addEventListener("error", () => {
//!     if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000, lastEventId);
//!   });
//! }
//! ```

use std::time::{Duration, Instant};

use crate::grants::Grants;
use crate::refusal::Refusal;
use crate::secret::{self, Digest};
use crate::users::{self, User};

/// The name of the session's cookie.
pub const SESSION_COOKIE: &str = "session";

const SESSION_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The credentials of a request, which the framework's part reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The value of the header `Authorization`.
    pub authorization: Option<&'a [u8]>,
    /// The value of the cookie [`SESSION_COOKIE`].
    pub session: Option<&'a str>,
}

/// The user of a request, and how they authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// The user.
    pub user: User,
    proof: Proof,
}

#[derive(Debug, Clone, Copy)]
enum Proof {
    AccessToken,
    QueryToken(Digest),
    Session(Digest),
}

/// Sessions and tokens of all users.
#[derive(Debug)]
pub struct Accounts {
    sessions: Grants,
    tokens: Grants,
}

impl Accounts {
    /// No sessions and tokens.
    pub fn new(token_lifetime: Duration) -> Self {
        Self { sessions: Grants::new(SESSION_LIFETIME), tokens: Grants::new(token_lifetime) }
    }

    /// The user of a request, by access token or session.
    ///
    /// An access token takes precedence over a cookie, even if it is wrong: browsers add cookies automatically, but a client
    /// sends a token on purpose.
    ///
    /// # Errors
    ///
    /// When the credentials are missing or not valid.
    pub fn caller(&self, credentials: Credentials<'_>) -> Result<Caller, Refusal> {
        let known = if let Some(token) = credentials.authorization.and_then(bearer) {
            users::by_access_token(token).map(|user| Caller { user, proof: Proof::AccessToken })
        } else {
            let session = credentials.session.ok_or(Refusal::Unknown)?;
            self.holder(Proof::Session(Digest::of(session.as_bytes())))
        };
        known.ok_or(Refusal::Unknown)
    }

    /// The user who asks for the stream: as [`caller`](Self::caller), or by query token.
    ///
    /// # Errors
    ///
    /// As [`caller`](Self::caller).
    pub fn viewer(
        &self,
        credentials: Credentials<'_>,
        query: Option<&str>,
    ) -> Result<Caller, Refusal> {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        match pairs.find(|(name, _)| name == "token") {
            Some((_, token)) if credentials.authorization.and_then(bearer).is_none() => {
                self.holder(Proof::QueryToken(Digest::of(token.as_bytes()))).ok_or(Refusal::Unknown)
            }
            _ => self.caller(credentials),
        }
    }

    /// Checks that the caller has not logged out meanwhile.
    ///
    /// # Errors
    ///
    /// When the caller has logged out.
    pub fn confirm(&self, caller: Caller) -> Result<(), Refusal> {
        match caller.proof {
            Proof::AccessToken => Ok(()),
            proof => self.holder(proof).map(|_| ()).ok_or(Refusal::Unknown),
        }
    }

    fn holder(&self, proof: Proof) -> Option<Caller> {
        let now = Instant::now();
        let user = match proof {
            Proof::AccessToken => None,
            Proof::QueryToken(token) => self.tokens.holder(token, now),
            Proof::Session(session) => self.sessions.holder(session, now),
        };
        user.map(|user| Caller { user, proof })
    }

    /// Begins a session. Returns the user and the header `Set-Cookie`.
    ///
    /// # Errors
    ///
    /// When user or password is wrong.
    pub fn log_in(&self, user: &str, password: &str) -> Result<(User, String), Refusal> {
        let user = users::by_password(user, password).ok_or(Refusal::WrongPassword)?;
        let session = secret::fresh().map_err(Refusal::internal)?;
        self.sessions.give(&session, user, Instant::now());
        Ok((user, set_cookie(&session, SESSION_LIFETIME)))
    }

    /// Creates a token for `/events`. Returns it and its lifetime.
    ///
    /// # Errors
    ///
    /// When the caller has logged out meanwhile, or the system provides no random numbers.
    pub fn token(&self, caller: Caller) -> Result<(String, Duration), Refusal> {
        let token = secret::fresh().map_err(Refusal::internal)?;
        self.tokens.give(&token, caller.user, Instant::now());
        // A logout in between did not revoke this token.
        if let Err(refusal) = self.confirm(caller) {
            self.tokens.revoke(Digest::of(token.as_bytes()));
            return Err(refusal);
        }
        Ok((token, self.tokens.lifetime()))
    }

    /// Ends the caller's session and revokes all of their query tokens. Other sessions and the access token stay valid.
    /// Returns the header `Set-Cookie` that removes the cookie.
    pub fn log_out(&self, caller: Caller) -> String {
        if let Proof::Session(session) = caller.proof {
            self.sessions.revoke(session);
        }
        self.tokens.revoke_all(caller.user);
        set_cookie("", Duration::ZERO)
    }
}

/// The token in `Bearer …`. Other schemes are ignored: they may be for a proxy.
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// `HttpOnly`, so that no script can read it; `SameSite=Strict`, so that no page of another site can act in its user's name.
/// In production with TLS, it would be `__Host-session` with `Secure`, so that it can neither be set nor read without TLS.
fn set_cookie(session: &str, max_age: Duration) -> String {
    let max_age = max_age.as_secs();
    format!("{SESSION_COOKIE}={session}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged_in() -> (Accounts, String) {
        let accounts = Accounts::new(Duration::from_secs(30));
        let (user, cookie) = accounts.log_in("ada", "engine").unwrap();
        assert_eq!(user.id(), "ada");
        let session = cookie.strip_prefix("session=").unwrap().split_once(';').unwrap().0;
        let session = session.to_owned();
        (accounts, session)
    }

    fn by_session(session: &str) -> Credentials<'_> {
        Credentials { session: Some(session), ..Credentials::default() }
    }

    fn by_header(authorization: &str) -> Credentials<'_> {
        Credentials { authorization: Some(authorization.as_bytes()), ..Credentials::default() }
    }

    #[test]
    fn a_session_is_valid_until_its_end() {
        let (accounts, session) = logged_in();
        let caller = accounts.caller(by_session(&session)).unwrap();
        assert_eq!(caller.user.id(), "ada");
        assert!(accounts.log_out(caller).starts_with("session=; Path=/; Max-Age=0; "));
        assert_eq!(accounts.caller(by_session(&session)).unwrap_err(), Refusal::Unknown);
        assert_eq!(accounts.confirm(caller), Err(Refusal::Unknown));
        assert_eq!(accounts.token(caller), Err(Refusal::Unknown));
    }

    #[test]
    fn a_cookie_does_not_replace_a_wrong_access_token() {
        let (accounts, session) = logged_in();
        for (authorization, expected) in [
            ("Bearer access-of-grace", Some("grace")),
            ("bEARER  access-of-grace ", Some("grace")),
            ("Bearer wrong", None),
            ("Bearer ", None),
            ("Basic cHJveHk6cHJveHk=", Some("ada")),
            ("Bearer", Some("ada")),
        ] {
            let session = Some(session.as_str());
            let credentials = Credentials { session, ..by_header(authorization) };
            let caller = accounts.caller(credentials).ok();
            assert_eq!(caller.map(|caller| caller.user.id()), expected, "{authorization}");
        }
    }

    #[test]
    fn a_query_token_opens_the_stream_and_nothing_else() {
        let (accounts, session) = logged_in();
        let ada = accounts.caller(by_session(&session)).unwrap();
        let (token, _) = accounts.token(ada).unwrap();
        let query = format!("topic=news&token={token}");
        let viewer = accounts.viewer(Credentials::default(), Some(&query)).unwrap();
        assert_eq!(viewer.user, ada.user);
        assert!(accounts.caller(by_session(&token)).is_err());
        assert!(accounts.caller(by_header(&format!("Bearer {token}"))).is_err());
        let session = format!("token={session}");
        assert!(accounts.viewer(Credentials::default(), Some(&session)).is_err());
        // It takes precedence over a cookie, like any token.
        assert!(accounts.viewer(by_session(&token), Some("token=wrong")).is_err());
    }
}
