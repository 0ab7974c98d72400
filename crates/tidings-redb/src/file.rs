use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use crate::fault::Fault;
use crate::place::Place;

/// The file of a log: a first page, and after it redb's pages.
///
/// The first page says what the file is, before redb touches it. It also holds the *mark*: the last position that was
/// acknowledged, written after every commit and before every acknowledgement. redb keeps its last two commits,
/// and a single bit says which of them counts; the mark shows if that bit is wrong.
///
/// redb is not offered locks: it takes them only after the first page was read, and perhaps written.
#[derive(Debug, Clone)]
pub(crate) struct LogFile(Arc<OpenFile>);

#[derive(Debug)]
struct OpenFile {
    file: FileBackend,
    place: Place,
    disk: Arc<Disk>,
}

/// What a log does with its disk, however often the file is opened.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// How often the file was synced.
    pub(crate) syncs: AtomicU64,
    /// The sync that is to fail.
    #[cfg(test)]
    pub(crate) failing_sync: AtomicU64,
    /// What is moved where at the next sync.
    #[cfg(test)]
    pub(crate) moved: parking_lot::Mutex<Option<[std::path::PathBuf; 2]>>,
    /// Everything that was done to the file, while it is recorded.
    #[cfg(test)]
    pub(crate) journal: parking_lot::Mutex<Option<Vec<power_cut::DiskOperation>>>,
}

#[cfg(test)]
mod power_cut;

impl Disk {
    fn count_sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        #[cfg(test)]
        if let Some([from, to]) = self.moved.lock().take() {
            std::fs::rename(from, to)?;
        }
        #[cfg(test)]
        if self.failing_sync.load(Ordering::Relaxed) == self.syncs.load(Ordering::Relaxed) {
            return Err(io::Error::other("on purpose"));
        }
        Ok(())
    }

    #[cfg(test)]
    fn record(&self, operation: impl FnOnce() -> power_cut::DiskOperation) {
        if let Some(journal) = &mut *self.journal.lock() {
            journal.push(operation());
        }
    }
}

const HEAD_BYTES: u64 = 4096;
const MAGIC: &[u8; 16] = b"tidings-redb log";
const VERSION: u32 = 2;
/// With an index that redb has encoded in another way until its version 3; see [`Store`](crate::store::Store).
const OLD_VERSION: u32 = 1;
/// In another sector than the magic, so that writing it cannot harm that.
const MARK_AT: u64 = 512;
const MARK_BYTES: usize = 12;
const MARK_END: u64 = MARK_AT + MARK_BYTES as u64;

impl LogFile {
    /// Opens and locks a file, or makes it. The path is absolute.
    pub(crate) fn open(path: &Path, disk: Arc<Disk>) -> Result<Self, Fault> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(Fault::Foreign("is not a file".to_owned()));
        }
        let place = Place::lock(path, file.try_clone()?)?;
        let file = FileBackend::new(file)?;
        let file = Self(Arc::new(OpenFile { file, place, disk }));
        file.check_head(path)?;
        Ok(file)
    }

    fn check_head(&self, path: &Path) -> Result<(), Fault> {
        let file = &self.0.file;
        let length = file.len()?;
        let mut head = [0; HEAD_BYTES as usize];
        file.read(0, &mut head[..length.min(HEAD_BYTES) as usize])?;
        // There was room for a part of the first page only. Up to the end of the mark, it shows that nothing was
        // acknowledged.
        let is_part = (MARK_END..HEAD_BYTES).contains(&length) && head == Self::new_head();
        if length == 0 || is_part {
            self.begin()?;
            return sync_folder_of(path);
        }
        if head.starts_with(b"redb") {
            return Err(Fault::Foreign("is a database of redb, but not a log".to_owned()));
        }
        if !head.starts_with(MAGIC) {
            return Err(Fault::Foreign("is not a log".to_owned()));
        }
        let version = u32_at(&head, MAGIC.len());
        if ![OLD_VERSION, VERSION].contains(&version) {
            let what = format!("is a log of format {version}, and this is for format {VERSION}");
            return Err(Fault::Foreign(what));
        }
        if length < HEAD_BYTES {
            return Err(Fault::damaged("it ends within its first page"));
        }
        let mut beginning = [0; 4];
        if length > HEAD_BYTES {
            self.read(0, &mut beginning)?;
        }
        if beginning != [0; 4] {
            return Ok(());
        }
        // redb had not begun yet when the process ended, or the file was cut off.
        match mark_in(&head[MARK_AT as usize..][..MARK_BYTES]) {
            Ok(None) => self.begin(),
            _ => Err(Fault::damaged("all but its first page is missing")),
        }
    }

    fn begin(&self) -> Result<(), Fault> {
        self.set_length(0)?;
        // In one write, so that any part of it is one of a new head.
        self.put(0, &Self::new_head())?;
        self.sync()
    }

    /// The first page of a log of which nothing was acknowledged.
    fn new_head() -> [u8; HEAD_BYTES as usize] {
        let mut head = [0; HEAD_BYTES as usize];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        head[MAGIC.len()..][..4].copy_from_slice(&VERSION.to_le_bytes());
        head
    }

    /// Writes which format the file has from the next commit on.
    pub(crate) fn set_version(&self) -> Result<(), Fault> {
        Ok(self.put(MAGIC.len() as u64, &VERSION.to_le_bytes())?)
    }

    /// The last position that was acknowledged; after a power cut, it may be that of the commit before. `None` if nothing
    /// ever was.
    pub(crate) fn mark(&self) -> Result<Option<u64>, Fault> {
        let mut mark = [0; MARK_BYTES];
        self.0.file.read(MARK_AT, &mut mark)?;
        mark_in(&mark)
    }

    /// Writes the position that is about to be acknowledged. It gets to the disk with the next commit, without its own
    /// sync.
    pub(crate) fn set_mark(&self, position: u64) -> Result<(), Fault> {
        let position = position.to_le_bytes();
        let mark = [&position[..], &crc32fast::hash(&position).to_le_bytes()].concat();
        Ok(self.put(MARK_AT, &mark)?)
    }

    fn put(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.0.disk.record(|| power_cut::DiskOperation::Write(at, bytes.to_vec()));
        self.0.file.write(at, bytes)?;
        self.0.place.written_to(at + bytes.len() as u64);
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        #[cfg(test)]
        self.0.disk.record(|| power_cut::DiskOperation::Length(length));
        self.0.file.set_len(length)?;
        self.0.place.resized(length);
        Ok(())
    }

    /// Whether the file at its path is this one, and whole.
    pub(crate) fn check_place(&self) -> Result<(), Fault> {
        self.0.place.check()
    }

    /// Its size, in bytes.
    pub(crate) fn bytes(&self) -> Result<u64, Fault> {
        Ok(self.0.file.len()?)
    }

    pub(crate) fn sync(&self) -> Result<(), Fault> {
        Ok(self.sync_data()?)
    }
}

/// Syncs the folder: a new name in it is on disk only then. Where folders cannot be opened as files, the system does it.
pub(crate) fn sync_folder_of(path: &Path) -> Result<(), Fault> {
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

fn mark_in(bytes: &[u8]) -> Result<Option<u64>, Fault> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    if crc32fast::hash(&bytes[..8]) != u32_at(bytes, 8) {
        return Err(Fault::damaged("its mark does not match its checksum"));
    }
    Ok(Some(u64_at(bytes, 0)))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Everything after the first page, for redb.
impl StorageBackend for LogFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.file.len()?.saturating_sub(HEAD_BYTES))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        // redb may ask for anything in a damaged file.
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > self.len().unwrap_or(0)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.file.read(HEAD_BYTES + offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.set_length(HEAD_BYTES + len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.disk.count_sync()?;
        self.0.file.sync_data()?;
        #[cfg(test)]
        self.0.disk.record(|| power_cut::DiskOperation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.put(HEAD_BYTES + offset, data)
    }
}
