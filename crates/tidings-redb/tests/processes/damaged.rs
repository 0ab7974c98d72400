use std::fs;

use tempfile::TempDir;
use tidings_redb::RedbLog;

use crate::child;

pub(crate) fn a_damaged_file_is_a_sentence_and_no_panic() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("events.redb");
    drop(RedbLog::open(&path).expect("it is new"));
    let image = fs::read(&path).expect("it is closed");
    // Cut, redb panics on it.
    let mut inconsistent = 0;
    for length in [100, 4096, 10_000, image.len() / 2, image.len() - 1] {
        fs::write(&path, &image[..length]).expect("it is closed");
        let (said, complaints) = child::try_to_open(child::role("open", &path));
        let start = format!("redb: {}: is damaged: ", path.display());
        let cause = said.strip_prefix(&start).unwrap_or_else(|| panic!("{said:?}"));
        assert!(cause.ends_with("keep the events before the damage\n"), "{said:?}");
        assert_eq!((said.lines().count(), &*complaints), (1, ""));
        inconsistent += usize::from(cause.starts_with("redb finds it inconsistent: "));
    }
    assert!(inconsistent > 0, "redb never panicked");
}
