use std::fmt;
use std::str::FromStr;

/// A number of 64 bits as 16 hexadecimal digits, in text and in JSON.
macro_rules! hexadecimal {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

pub(crate) use hexadecimal;

/// Identifies one open stream within its hub: 64 random bits, as 16 hexadecimal digits.
///
/// The client learns its own from the status event. Treat it as a name, not as a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

hexadecimal!(ClientId);

impl ClientId {
    pub(crate) fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

/// The text is not a client id, which has 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseClientIdError(());

impl fmt::Display for ParseClientIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("client id is not 16 hexadecimal digits")
    }
}

impl std::error::Error for ParseClientIdError {}

impl FromStr for ClientId {
    type Err = ParseClientIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ParseClientIdError(()));
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| ParseClientIdError(()))
    }
}
