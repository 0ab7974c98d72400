//! What a server gives out to somebody so that it knows them again: sessions and tokens.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::secret::Digest;
use crate::users::User;

/// Grants of one kind, each good for the same time. One kind is of no use where another is asked
/// for, because it is in another table.
///
/// An application of several processes keeps them where all can see them. Signed tokens need no
/// table, but then nobody can revoke them.
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
    /// None yet.
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, held: Mutex::default() }
    }

    /// For how long each of them is good.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Gives one, under this secret, to a user.
    pub fn give(&self, secret: &str, user: User, now: Instant) {
        let mut held = self.held.lock();
        // Nobody else throws away what has expired.
        held.retain(|_, grant| grant.expires > now);
        let expires = now + self.lifetime;
        held.insert(Digest::of(secret.as_bytes()), Grant { user, expires });
    }

    /// Whose it is, if it is good.
    pub fn holder(&self, secret: Digest, now: Instant) -> Option<User> {
        let held = self.held.lock();
        held.get(&secret).filter(|grant| grant.expires > now).map(|grant| grant.user)
    }

    /// Takes one back.
    pub fn revoke(&self, secret: Digest) {
        self.held.lock().remove(&secret);
    }

    /// Takes all of a user back.
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
    fn a_grant_is_good_until_it_expires() {
        let (grants, ada, grace, now) = grants();
        let moment = Duration::from_nanos(1);
        assert_eq!(grants.holder(Digest::of(b"one"), now + LIFETIME - moment), Some(ada));
        assert_eq!(grants.holder(Digest::of(b"two"), now), Some(grace));
        assert_eq!(grants.holder(Digest::of(b"one"), now + LIFETIME), None);
        assert_eq!(grants.holder(Digest::of(b"three"), now), None);
    }

    #[test]
    fn what_has_expired_takes_no_memory() {
        let (grants, ada, _, now) = grants();
        grants.give("three", ada, now + LIFETIME);
        assert_eq!(grants.held.lock().len(), 1);
    }

    #[test]
    fn a_grant_is_good_until_it_is_taken_back() {
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
