//! Damages what a client has received, to show that the checker of a long test would find it.

use tidings::{Message, STATUS_EVENT};
use tidings_testkit::checker::{Fault, Visit};

use crate::random::Random;

/// What happens to one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is lost.
    Lose,
    /// It comes twice.
    Double,
    /// It changes places with the next one.
    Swap,
    /// An event of another client's topic comes before it.
    Leak,
}

impl Damage {
    /// All kinds of damage.
    pub const ALL: [Self; 4] = [Self::Lose, Self::Double, Self::Swap, Self::Leak];

    /// Damages one event of a visit, if it has at least two events and its only status event comes first. Returns
    /// whether it did. `foreign` is an event that is not for this client.
    pub fn inject(self, visit: &mut Visit, foreign: Option<&Message>, random: &mut Random) -> bool {
        let messages = &mut visit.messages;
        let events = messages.iter().filter(|message| message.event() != STATUS_EVENT).count();
        if events < 2 || events + 1 != messages.len() {
            return false;
        }
        let at = 1 + random.below(events - 1);
        match self {
            Self::Lose => drop(messages.remove(at)),
            Self::Double => messages.insert(at, messages[at].clone()),
            Self::Swap => messages.swap(at, at + 1),
            Self::Leak => match foreign {
                Some(foreign) => messages.insert(at, foreign.clone()),
                None => return false,
            },
        }
        true
    }

    /// Whether this is how the checker should report the damage.
    pub fn is_found_by(self, fault: &Fault) -> bool {
        match self {
            Self::Lose => matches!(fault, Fault::Lost(_) | Fault::MissingReset(_)),
            Self::Double => matches!(fault, Fault::Doubled(_)),
            Self::Swap => matches!(fault, Fault::OutOfOrder(_)),
            Self::Leak => matches!(fault, Fault::Foreign(_)),
        }
    }
}
