//! Small files: read with a size limit, and written completely or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

/// The mode bits that give access to users other than the owner.
const MODE_OF_OTHERS: u32 = 0o077;

/// The access rights of a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// The default of the system (umask).
    Shared,
    /// The owner only (mode 0600).
    Private,
}

/// Reads a text file of at most `limit` bytes; `-` is standard input.
pub(crate) fn read_text(path: &Path, limit: usize) -> anyhow::Result<String> {
    let bytes = read_bytes(path, limit)?;
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("{} is not a text file", path.display()))
}

/// Reads a file of at most `limit` bytes; `-` is standard input.
pub(crate) fn read_bytes(path: &Path, limit: usize) -> anyhow::Result<Vec<u8>> {
    let bytes = if path == Path::new("-") {
        read_limited(io::stdin().lock(), limit)
    } else {
        File::open(path).map_err(anyhow::Error::from).and_then(|file| read_limited(file, limit))
    };
    bytes.with_context(|| format!("{} cannot be read", path.display()))
}

fn read_limited(source: impl Read, limit: usize) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        bail!("it has more than {limit} bytes: is it the right file?");
    }
    Ok(bytes)
}

/// Reads a text file that contains a secret. The text is wiped from memory when it is dropped.
///
/// # Errors
/// Also if users other than the owner have access to the file: then it is not secret.
pub(crate) fn read_secret(path: &Path, limit: usize) -> anyhow::Result<Zeroizing<String>> {
    let open = || -> anyhow::Result<Zeroizing<String>> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            bail!("it is not a file");
        }
        let mode = metadata.mode();
        if mode & MODE_OF_OTHERS != 0 {
            bail!(
                "other users have access to it (mode {:04o}): run `chmod 600 {}` if no other user has read \
                 it, make a new secret if one may have",
                mode & 0o7777,
                path.display()
            );
        }
        if metadata.len() > limit as u64 {
            bail!("it has more than {limit} bytes: is it the right file?");
        }
        // Reserve the whole capacity first: a string that grows would leave copies in memory.
        let mut text = Zeroizing::new(String::with_capacity(limit + 1));
        let read = file.take(limit as u64 + 1).read_to_string(&mut text)?;
        if read > limit {
            bail!("it has more than {limit} bytes: is it the right file?");
        }
        Ok(text)
    };
    open().with_context(|| format!("{} cannot be used", path.display()))
}

/// Creates a file and waits until it is on disk. The file must not exist.
pub(crate) fn write_new(path: &Path, text: &str, access: Access) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if access == Access::Private {
        options.mode(0o600);
    }
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{} already exists and is not overwritten: choose another name", path.display())
        }
        _ => anyhow::Error::new(error).context(format!("{} cannot be created", path.display())),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // An incomplete file would prevent the next attempt.
        let _ = fs::remove_file(path);
        return Err(error).with_context(|| format!("{} cannot be written", path.display()));
    }
    sync_directory(parent_of(path))
}

/// Replaces the content of a file, and waits until it is on disk. A crash leaves the old content or the
/// new one. The access rights stay.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let directory = parent_of(path);
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".quorate-new-").tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(fs::metadata(path)?.permissions())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    write().with_context(|| format!("{} cannot be replaced", path.display()))?;
    sync_directory(directory)
}

/// Makes the file names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> anyhow::Result<()> {
    let sync = File::open(path).and_then(|directory| directory.sync_all());
    sync.with_context(|| format!("{} cannot be made durable", path.display()))
}

/// The directory that contains a path; `.` for a bare name.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A directory that appears completely or not at all.
///
/// Its files are written to a temporary directory next to the target, which is renamed at the end.
/// If it is dropped before, the temporary directory is deleted with everything in it.
#[derive(Debug)]
pub(crate) struct NewDirectory {
    filling: tempfile::TempDir,
    target: PathBuf,
}

impl NewDirectory {
    /// Prepares a directory that must not exist, or must be empty.
    pub(crate) fn prepare(target: &Path) -> anyhow::Result<Self> {
        match fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    bail!("{} is not empty: choose another directory, or empty it first", target.display());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("{} cannot be used", target.display())),
        }
        let parent = parent_of(target);
        let filling = fs::create_dir_all(parent)
            .and_then(|()| tempfile::Builder::new().prefix(".quorate-new-").tempdir_in(parent))
            .with_context(|| format!("no directory can be created in {}", parent.display()))?;
        Ok(NewDirectory { filling, target: target.to_owned() })
    }

    /// Where to write until [`NewDirectory::finish`].
    pub(crate) fn path(&self) -> &Path {
        self.filling.path()
    }

    /// Renames the directory to its final name.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        sync_directory(self.filling.path())?;
        fs::rename(self.filling.path(), &self.target)
            .with_context(|| format!("{} cannot be put in place", self.target.display()))?;
        // The directory was renamed, so there is nothing to remove.
        let _renamed = self.filling.keep();
        sync_directory(parent_of(&self.target))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("text");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "12345");
        assert!(format!("{:#}", read_text(&path, 4).unwrap_err()).contains("more than 4 bytes"));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(read_text(&path, 5).unwrap_err().to_string().contains("not a text file"));
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        write_new(&path, "secret", Access::Private).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(*read_secret(&path, 6).unwrap(), "secret");
        assert!(read_secret(&path, 5).is_err(), "longer than its limit");
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = format!("{:#}", read_secret(&path, 6).unwrap_err());
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
            assert!(!error.contains("secret\n"), "the content is not shown");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_new(&path, "first", Access::Shared).unwrap();
        let error = write_new(&path, "second", Access::Shared).unwrap_err();
        assert!(error.to_string().contains("already exists"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    }

    #[test]
    fn a_replaced_file_keeps_its_access_rights_and_leaves_no_other_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert!(replace(&path, "first").is_err(), "there is nothing to replace");
        write_new(&path, "first", Access::Shared).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, "second").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_directory_appears_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("net");
        let entries = || fs::read_dir(parent.path()).unwrap().count();

        let given_up = NewDirectory::prepare(&target).unwrap();
        fs::write(given_up.path().join("file"), "x").unwrap();
        drop(given_up);
        assert_eq!(entries(), 0, "nothing is left behind");

        fs::create_dir(&target).unwrap();
        let new = NewDirectory::prepare(&target).unwrap();
        fs::write(new.path().join("file"), "x").unwrap();
        assert!(!target.join("file").exists());
        new.finish().unwrap();
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), "x");
        assert_eq!(entries(), 1);

        let error = NewDirectory::prepare(&target).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }
}
