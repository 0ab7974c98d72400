//! The name of a history, as the stream carries it: a consumer group `tidings:<epoch>` that nobody reads
//! by. It lives and dies with the stream, in memory, in snapshots and on replicas, so a stream that was
//! wiped cannot pass for the one before.

use tidings::backend::Epoch;

const PREFIX: &str = "tidings:";

/// The group that names the history of this epoch.
pub(crate) fn group(epoch: &Epoch) -> String {
    format!("{PREFIX}{epoch}")
}

/// Whether a group names a history.
pub(crate) fn is_name(group: &str) -> bool {
    group.starts_with(PREFIX)
}

/// The epoch that a group names.
pub(crate) fn epoch(group: &str) -> Option<Epoch> {
    Epoch::new(group.strip_prefix(PREFIX)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_as_it_was_written() {
        let random = Epoch::random();
        assert!(is_name(&group(&random)));
        assert_eq!(epoch(&group(&random)), Some(random));
        for text in ["", "tidings:", "tidings:1:e", "tidings:a b", "others:e"] {
            assert_eq!(epoch(text), None, "{text}");
        }
    }
}
