//! Breaks the promise in what a client has received, which the checker is there to find out.

use tidings::STATUS_EVENT;
use tidings_testkit::checker::is_of;
use tidings_tests::random::Random;

use crate::ledger::Receipts;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meddling {
    Lose,
    Double,
    /// With the one behind it.
    Swap,
    /// An event of a topic that the client did not ask for.
    Leak,
}

/// Meddles with one event of one client.
pub(crate) fn meddle(clients: &mut [Receipts], meddling: Meddling, random: &mut Random) {
    loop {
        let number = random.below(clients.len());
        let foreign = foreign_to(clients, number, random);
        let visits = &mut clients[number].visits;
        let place = random.below(visits.len());
        let messages = &mut visits[place].messages;
        let events = messages.iter().filter(|message| message.event() != STATUS_EVENT).count();
        // The first one is the status.
        if events < 2 || events + 1 != messages.len() {
            continue;
        }
        let at = 1 + random.below(events - 1);
        match meddling {
            Meddling::Lose => drop(messages.remove(at)),
            Meddling::Double => messages.insert(at, messages[at].clone()),
            Meddling::Swap => messages.swap(at, at + 1),
            Meddling::Leak => match foreign {
                Some(foreign) => messages.insert(at, foreign),
                None => continue,
            },
        }
        return;
    }
}

/// What somebody else has received at random, if it was not for this client.
fn foreign_to(
    clients: &[Receipts],
    number: usize,
    random: &mut Random,
) -> Option<tidings::Message> {
    let other = &clients[random.below(clients.len())];
    // A family is what its name begins with: it has another one in it, or the other way round.
    let mine = &clients[number].topics;
    let is_shared =
        |topic: &String| is_of(mine, topic) || mine.iter().any(|own| is_of(&[topic], own));
    if other.topics.iter().any(is_shared) {
        return None;
    }
    let visit = &other.visits[random.below(other.visits.len())];
    visit.messages.last().filter(|message| message.event() != STATUS_EVENT).cloned()
}
