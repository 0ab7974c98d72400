//! Secrets: how they are made and compared.

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A secret of 256 random bits, as hexadecimal digits, which may be used in cookies, headers and URLs.
///
/// # Errors
///
/// When the system provides no random numbers.
pub fn fresh() -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(bits.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What a server keeps of a secret: enough to recognise it, and useless to a thief.
///
/// It may be the key of a table: the time of a look-up reveals nothing about the secret, because nobody can choose a hash that
/// is nearly right.
///
/// This is for random secrets. An application stores passwords with a slow hash, such as Argon2.
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
