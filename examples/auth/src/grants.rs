//! Sessions and tokens: what a server gives to a user to recognise them later.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::secret::Digest;
use crate::users::User;

/// Grants of one kind with the same lifetime. Each kind has its own table, so that it is not accepted as another kind.
///
/// An application with several processes shares the table between them. Signed tokens need no table, but cannot be revoked.
#[derive(Debug)]
pub struct Grants {
    lifetime: Duration,
    held: Mutex<HashMap<Digest, Grant>>,
}

#[derive(Debug)]
struct Grant {
    user: User,
    expires: Instant,
}

impl Grants {
    /// An empty table.
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, held: Mutex::default() }
    }

    /// How long each grant is valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Gives a grant with this secret to a user.
    pub fn give(&self, secret: &str, user: User, now: Instant) {
        let mut held = self.held.lock();
        // Nothing else removes expired grants.
        held.retain(|_, grant| grant.expires > now);
        let expires = now + self.lifetime;
        held.insert(Digest::of(secret.as_bytes()), Grant { user, expires });
    }

    /// The user of a valid grant.
    pub fn holder(&self, secret: Digest, now: Instant) -> Option<User> {
        let held = self.held.lock();
        held.get(&secret).filter(|grant| grant.expires > now).map(|grant| grant.user)
    }

    /// Revokes a grant.
    pub fn revoke(&self, secret: Digest) {
        self.held.lock().remove(&secret);
    }

    /// Revokes all grants of a user.
    pub fn revoke_all(&self, user: User) {
        self.held.lock().retain(|_, grant| grant.user != user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users;

    const LIFETIME: Duration = Duration::from_secs(30);

    fn grants() -> (Grants, User, User, Instant) {
        let [ada, grace] = ["ada", "grace"].map(|id| users::by_id(id).unwrap());
        let (grants, now) = (Grants::new(LIFETIME), Instant::now());
        grants.give("one", ada, now);
        grants.give("two", grace, now);
        (grants, ada, grace, now)
    }

    #[test]
    fn a_grant_is_valid_until_it_expires() {
        let (grants, ada, grace, now) = grants();
        let moment = Duration::from_nanos(1);
        assert_eq!(grants.holder(Digest::of(b"one"), now + LIFETIME - moment), Some(ada));
        assert_eq!(grants.holder(Digest::of(b"two"), now), Some(grace));
        assert_eq!(grants.holder(Digest::of(b"one"), now + LIFETIME), None);
        assert_eq!(grants.holder(Digest::of(b"three"), now), None);
    }

    #[test]
    fn expired_grants_take_no_memory() {
        let (grants, ada, _, now) = grants();
        grants.give("three", ada, now + LIFETIME);
        assert_eq!(grants.held.lock().len(), 1);
    }

    #[test]
    fn a_grant_is_valid_until_it_is_revoked() {
        let (grants, ada, grace, now) = grants();
        grants.give("three", ada, now);
        grants.revoke(Digest::of(b"one"));
        assert_eq!(grants.holder(Digest::of(b"one"), now), None);
        assert_eq!(grants.holder(Digest::of(b"three"), now), Some(ada));
        grants.revoke_all(ada);
        assert_eq!(grants.holder(Digest::of(b"three"), now), None);
        assert_eq!(grants.holder(Digest::of(b"two"), now), Some(grace));
    }
}
