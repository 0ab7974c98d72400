//! The users. An application has a database for them.

use std::fmt;

use subtle::{Choice, ConstantTimeEq};

use crate::secret::Digest;

/// A known user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User(&'static str);

impl User {
    /// The id.
    pub fn id(self) -> &'static str {
        self.0
    }

    /// The topic of events for this user only.
    pub fn topic(self) -> String {
        format!("user:{}", self.0)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

struct Account {
    id: &'static str,
    password: &'static str,
    /// For `Authorization: Bearer`. Users create and revoke it on a settings page, which shows it once.
    access_token: &'static str,
}

const ACCOUNTS: [Account; 2] = [
    Account { id: "ada", password: "engine", access_token: "access-of-ada" },
    Account { id: "grace", password: "compiler", access_token: "access-of-grace" },
];

/// The user with this id.
pub fn by_id(id: &str) -> Option<User> {
    ACCOUNTS.iter().find(|account| account.id == id).map(|account| User(account.id))
}

/// The user with this id and password.
pub fn by_password(id: &str, password: &str) -> Option<User> {
    let (id, password) = (Digest::of(id.as_bytes()), Digest::of(password.as_bytes()));
    find(|account| {
        Digest::of(account.id.as_bytes()).ct_eq(&id)
            & Digest::of(account.password.as_bytes()).ct_eq(&password)
    })
}

/// The user with this access token.
pub fn by_access_token(token: &[u8]) -> Option<User> {
    let token = Digest::of(token);
    find(|account| Digest::of(account.access_token.as_bytes()).ct_eq(&token))
}

/// Compares with every account in constant time, so that the time reveals neither which users exist nor how much of a
/// guess is right. Digests are compared because they have the same length.
fn find(is_it: impl Fn(&Account) -> Choice) -> Option<User> {
    let mut found = None;
    for account in &ACCOUNTS {
        if is_it(account).into() {
            found = Some(User(account.id));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_their_own_password_only() {
        assert_eq!(by_password("ada", "engine"), Some(User("ada")));
        for (id, password) in [("ada", "compiler"), ("ada", ""), ("", "engine"), ("bob", "engine")]
        {
            assert_eq!(by_password(id, password), None, "{id} {password}");
        }
    }

    #[test]
    fn a_user_is_known_by_their_access_token() {
        assert_eq!(by_access_token(b"access-of-grace"), Some(User("grace")));
        assert_eq!(by_access_token(b"access-of-grac"), None);
        assert_eq!(by_access_token(b""), None);
        assert_eq!(by_access_token(b"\xff"), None);
    }
}
