//! Creating and opening files. A file has exactly one creator and one user at a time, and is never
//! visible half made.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, StorageBackend, WriteTransaction};

use crate::backends::read_only::ReadOnlyFile;
use crate::database::storage::{Durable, Storage, guarded};
use crate::database::tables::META;
use crate::error::{Fault, FileKind, StoreError};

/// Version of the layout of both files; increase it with every change of the layout.
pub(crate) const FORMAT_VERSION: u16 = 2;

const FORMAT: &str = "format";
const IDENTITY: &str = "identity";

/// Most memory for the pages of a ledger, written or read.
const LEDGER_CACHE_BYTES: usize = 64 << 20;

/// Most memory for the pages of a journal, which is read only at the start.
const JOURNAL_CACHE_BYTES: usize = 16 << 20;

/// Shown in messages for a backend that is not a file.
const NO_PATH: &str = "(given backend)";

/// The bytes in a file that name its kind.
fn tag(kind: FileKind) -> [u8; 8] {
    match kind {
        FileKind::Ledger => *b"quo-ledg",
        FileKind::Journal => *b"quo-jour",
        FileKind::Export => unreachable!("an export is no database"),
    }
}

fn kind_of_tag(found: &[u8]) -> Option<FileKind> {
    [FileKind::Ledger, FileKind::Journal].into_iter().find(|kind| tag(*kind) == found)
}

fn builder(kind: FileKind) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(match kind {
        FileKind::Journal => JOURNAL_CACHE_BYTES,
        FileKind::Ledger | FileKind::Export => LEDGER_CACHE_BYTES,
    });
    builder
}

/// Creates a file at `path` that only its owner can read and write. The file appears there complete
/// or not at all, and survives a power loss.
pub(crate) fn create(
    kind: FileKind,
    path: &Path,
    identity: &[u8],
    fill: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
) -> Result<Storage, StoreError> {
    let parent = directory_of(path);
    let directory = File::open(parent).map_err(denied(parent))?;
    // Creators in one directory exclude each other, so that none replaces a file that another has
    // just created. So an unfinished file that exists now was left by a crash.
    directory.lock().map_err(denied(parent))?;
    if path.symlink_metadata().is_ok() {
        return Err(StoreError::Exists { path: path.to_owned() });
    }
    let unfinished = unfinished_name(path);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(denied(&unfinished)(error)),
        _ => {}
    }
    let file = new_file(&unfinished).map_err(denied(&unfinished))?;
    let backend = FileBackend::new(file).map_err(|error| Fault::from(error).at(kind, path))?;
    let storage = create_on(kind, backend, path, identity, fill)?;
    std::fs::rename(&unfinished, path).map_err(denied(path))?;
    directory.sync_all().map_err(denied(parent))?;
    Ok(storage)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// An error of the operating system at a path.
pub(crate) fn denied(place: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = place.to_owned();
    move |source| StoreError::Access { path, source }
}

/// Changes the identity of a file that is open.
pub(crate) fn replace_identity(transaction: &WriteTransaction, identity: &[u8]) -> Result<(), Fault> {
    transaction.open_table(META)?.insert(IDENTITY, identity)?;
    Ok(())
}

/// Syncs the directory, so that a file that was just created survives a power loss.
pub(crate) fn sync_directory_of(path: &Path) -> Result<(), StoreError> {
    let directory = directory_of(path);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(denied(directory))
}

fn unfinished_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    PathBuf::from(name)
}

/// Creates a file that only its owner can read.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Fills an empty backend; `path` is for messages.
pub(crate) fn create_on(
    kind: FileKind,
    backend: impl StorageBackend,
    path: &Path,
    identity: &[u8],
    fill: impl FnOnce(&WriteTransaction) -> Result<(), Fault>,
) -> Result<Storage, StoreError> {
    if length(&backend, path)? > 0 {
        return Err(StoreError::Exists { path: path.to_owned() });
    }
    let database =
        guarded(|| Ok(builder(kind).create_with_backend(backend)?)).map_err(|fault| fault.at(kind, path))?;
    let storage = Storage::new(database, kind, path);
    storage.write(Durable::NowAndQuickToOpen, |transaction| {
        let mut meta = transaction.open_table(META)?;
        let mut format = tag(kind).to_vec();
        format.extend(FORMAT_VERSION.to_be_bytes());
        meta.insert(FORMAT, format.as_slice())?;
        meta.insert(IDENTITY, identity)?;
        fill(transaction)
    })?;
    Ok(storage)
}

/// Opens a file that [`create`] made, and returns the identity in it.
pub(crate) fn open(kind: FileKind, path: &Path) -> Result<(Storage, Vec<u8>), StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(not_opened(kind, path))?;
    let backend = FileBackend::new(file).map_err(|error| Fault::from(error).at(kind, path))?;
    open_on(kind, backend, path)
}

/// Like [`open`], without write permission: the file stays unchanged, even if a crash left it.
pub(crate) fn open_read_only(kind: FileKind, path: &Path) -> Result<(Storage, Vec<u8>), StoreError> {
    let file = File::open(path).map_err(not_opened(kind, path))?;
    let backend = ReadOnlyFile::new(file).map_err(|fault| fault.at(kind, path))?;
    open_on(kind, backend, path)
}

fn not_opened(kind: FileKind, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| match source.kind() {
        ErrorKind::NotFound => StoreError::Missing { path, what: kind },
        _ => StoreError::Access { path, source },
    }
}

/// Opens a backend that [`create_on`] filled.
pub(crate) fn open_on(
    kind: FileKind,
    backend: impl StorageBackend,
    path: &Path,
) -> Result<(Storage, Vec<u8>), StoreError> {
    let foreign = |found: &str| StoreError::Foreign {
        path: path.to_owned(),
        expected: kind.name(),
        found: found.to_owned(),
    };
    if length(&backend, path)? == 0 {
        return Err(foreign("an empty file"));
    }
    let database = match guarded(|| Ok(builder(kind).create_with_backend(backend)?)) {
        Ok(database) => database,
        // The file is not a redb file, or is shorter than the header of one.
        Err(Fault::Engine(redb::Error::Io(error)))
            if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            return Err(foreign("something else, or its beginning is destroyed"));
        }
        Err(Fault::Engine(redb::Error::UpgradeRequired(version))) => {
            return Err(foreign(&format!("a redb file of the old format {version}")));
        }
        Err(fault) => return Err(fault.at(kind, path)),
    };
    let storage = Storage::new(database, kind, path);
    let meta = storage.read(|transaction| {
        let meta = match transaction.open_table(META) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            other => other?,
        };
        let row = |name| {
            let value = meta.get(name)?;
            Ok::<_, Fault>(value.map(|value| value.value().to_vec()))
        };
        Ok(row(FORMAT)?.zip(row(IDENTITY)?))
    })?;
    let (format, identity) = meta.ok_or_else(|| foreign("a redb file of another program"))?;
    let (tag, version) = format
        .split_first_chunk::<8>()
        .and_then(|(tag, version)| Some((tag, u16::from_be_bytes(version.try_into().ok()?))))
        .ok_or_else(|| foreign("a redb file of another program"))?;
    match kind_of_tag(tag) {
        Some(found) if found == kind => {}
        Some(other) => return Err(foreign(&format!("a {}", other.name()))),
        None => return Err(foreign("a redb file of another program")),
    }
    if version != FORMAT_VERSION {
        return Err(StoreError::Format { path: path.to_owned(), found: version, supported: FORMAT_VERSION });
    }
    Ok((storage, identity))
}

/// The path shown in messages for a backend that is not a file.
pub(crate) fn no_path() -> &'static Path {
    Path::new(NO_PATH)
}

fn length(backend: &impl StorageBackend, path: &Path) -> Result<u64, StoreError> {
    backend.len().map_err(|source| StoreError::Access { path: path.to_owned(), source })
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
