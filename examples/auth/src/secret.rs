//! Secrets: how they are made and compared.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A secret that nobody guesses: 256 random bits, as hexadecimal digits, which are good in a
/// cookie, a header and a URL.
///
/// # Errors
///
/// When the system has no random numbers.
pub fn fresh() -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a server keeps of a secret: enough to know it again, and of no use to a thief.
///
/// It may be the key of a table. How long the look-up of a hash takes says nothing of the secret,
/// because nobody can choose a hash that is nearly right.
///
/// That is so for random secrets. Passwords are not random: an application keeps them under a slow
/// hash, such as Argon2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a secret.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_secrets_are_the_same() {
        let [one, other] = [fresh().unwrap(), fresh().unwrap()];
        assert_ne!(one, other);
        assert_eq!(one.len(), 64);
        assert!(bool::from(Digest::of(one.as_bytes()).ct_eq(&Digest::of(one.as_bytes()))));
        assert!(!bool::from(Digest::of(one.as_bytes()).ct_eq(&Digest::of(other.as_bytes()))));
    }
}
