//! Secret keys in files: PKCS#8 PEM, encrypted by default, with access for their owner only.

use std::env;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use quorate_ledger::{KeyError, PublicKey, SecretKey, from_hex};
use zeroize::Zeroizing;

use crate::files::{self, Access};

/// Upper limit of the size of a key file in bytes. An encrypted key takes about 400.
const MAX_KEY_FILE_BYTES: usize = 16 << 10;

/// Upper limit of the length of a passphrase in bytes.
const MAX_PASSPHRASE_BYTES: usize = 1024;

/// The variable with the passphrase if there is no passphrase file.
pub(crate) const PASSPHRASE_VARIABLE: &str = "QUORATE_PASSPHRASE";

/// Where a passphrase comes from: a file, otherwise the environment, otherwise the terminal.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PassphraseSource {
    /// File with the passphrase of the key in its first line; only its owner may have access to it.
    ///
    /// Without this option, the passphrase comes from QUORATE_PASSPHRASE or from a prompt on the
    /// terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseSource {
    /// The file if there is one, otherwise the environment or the terminal.
    pub(crate) fn from_file(passphrase_file: Option<PathBuf>) -> Self {
        PassphraseSource { passphrase_file }
    }

    /// The passphrase of an existing key.
    fn ask(&self, path: &Path) -> anyhow::Result<Zeroizing<String>> {
        match self.without_asking()? {
            Some(passphrase) => Ok(passphrase),
            None => prompt(&format!("Passphrase of {}: ", path.display())),
        }
    }

    /// A passphrase for a new key; on a terminal it must be typed twice.
    fn choose(&self, path: &Path) -> anyhow::Result<Zeroizing<String>> {
        if let Some(passphrase) = self.without_asking()? {
            return Ok(passphrase);
        }
        let first = prompt(&format!("New passphrase for {}: ", path.display()))?;
        if first != prompt("The same passphrase again: ")? {
            bail!("the two passphrases differ: no file was written, try again");
        }
        Ok(first)
    }

    fn without_asking(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let passphrase = match (&self.passphrase_file, env::var(PASSPHRASE_VARIABLE)) {
            (Some(path), _) => {
                let text = files::read_secret(path, MAX_PASSPHRASE_BYTES)?;
                Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
            }
            (None, Ok(text)) if !text.is_empty() => Zeroizing::new(text),
            // An empty variable counts as unset.
            (None, Ok(_) | Err(env::VarError::NotPresent)) => return Ok(None),
            (None, Err(env::VarError::NotUnicode(_))) => bail!("{PASSPHRASE_VARIABLE} is not UTF-8 text"),
        };
        check_passphrase(passphrase).map(Some)
    }
}

fn prompt(question: &str) -> anyhow::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        bail!(
            "a passphrase is needed, but there is no terminal for a prompt: give --passphrase-file FILE or set \
             {PASSPHRASE_VARIABLE}"
        );
    }
    let typed = rpassword::prompt_password(question).context("the passphrase cannot be read")?;
    check_passphrase(Zeroizing::new(typed))
}

fn check_passphrase(passphrase: Zeroizing<String>) -> anyhow::Result<Zeroizing<String>> {
    if passphrase.is_empty() {
        bail!("the passphrase is empty: give one, or use --plain for a key without encryption");
    }
    if passphrase.len() > MAX_PASSPHRASE_BYTES {
        bail!("the passphrase has more than {MAX_PASSPHRASE_BYTES} bytes");
    }
    Ok(passphrase)
}

/// How a new key file is protected.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Protection {
    #[command(flatten)]
    source: PassphraseSource,

    /// Write the key without encryption: every user who can read the file has the key.
    #[arg(long, conflicts_with = "passphrase_file")]
    plain: bool,
}

/// A key file that was read. It contains a key, as far as can be checked without its passphrase.
pub(crate) struct KeyFile {
    path: PathBuf,
    pem: Zeroizing<String>,
    /// The key, if it needs no passphrase.
    plain: Option<SecretKey>,
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// The file does not exist, other users have access to it, or it contains no key.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let pem = files::read_secret(path, MAX_KEY_FILE_BYTES)?;
        let plain = if SecretKey::is_encrypted_pem(&pem) { None } else { Some(opened(&pem, path, None)?) };
        Ok(KeyFile { path: path.to_owned(), pem, plain })
    }

    /// The public key, unless the passphrase is needed to read it.
    pub(crate) fn public(&self) -> Option<PublicKey> {
        self.plain.as_ref().map(SecretKey::public)
    }

    /// The key. Needs a passphrase only if the key is encrypted.
    pub(crate) fn unlock(self, source: &PassphraseSource) -> anyhow::Result<SecretKey> {
        match self.plain {
            Some(key) => Ok(key),
            None => opened(&self.pem, &self.path, Some(source.ask(&self.path)?.as_str())),
        }
    }
}

/// Reads a key. Needs a passphrase only if the key is encrypted.
pub(crate) fn read(path: &Path, source: &PassphraseSource) -> anyhow::Result<SecretKey> {
    KeyFile::open(path)?.unlock(source)
}

/// Reads a key from PEM, or from 32 bytes of hex as other programs write them.
pub(crate) fn read_foreign(path: &Path, source: &PassphraseSource) -> anyhow::Result<SecretKey> {
    let text = files::read_secret(path, MAX_KEY_FILE_BYTES)?;
    if text.contains("-----BEGIN") {
        return from_pem(&text, path, source);
    }
    let key = from_hex_text(text.trim());
    key.with_context(|| format!("{} contains neither PKCS#8 PEM nor 32 bytes of hex", path.display()))
}

fn from_hex_text(text: &str) -> anyhow::Result<SecretKey> {
    let digits = Zeroizing::new(format!("0x{}", text.trim_start_matches("0x").to_ascii_lowercase()));
    let bytes = Zeroizing::new(from_hex(&digits)?);
    let bytes = <&[u8; 32]>::try_from(bytes.as_slice())
        .map_err(|_| anyhow::anyhow!("{} bytes where a key has 32", bytes.len()))?;
    Ok(SecretKey::from_bytes(bytes)?)
}

fn from_pem(pem: &str, path: &Path, source: &PassphraseSource) -> anyhow::Result<SecretKey> {
    let passphrase = SecretKey::is_encrypted_pem(pem).then(|| source.ask(path)).transpose()?;
    opened(pem, path, passphrase.as_ref().map(|passphrase| passphrase.as_str()))
}

fn opened(pem: &str, path: &Path, passphrase: Option<&str>) -> anyhow::Result<SecretKey> {
    SecretKey::from_pem(pem, passphrase).map_err(|error| match error {
        KeyError::Pem => anyhow::anyhow!(
            "{}: {error}; `quorate key import` reads other forms, `quorate key new` makes a key",
            path.display()
        ),
        _ => anyhow::anyhow!("{}: {error}", path.display()),
    })
}

/// Writes a key to a new file, encrypted unless `--plain` was given.
pub(crate) fn write(path: &Path, key: &SecretKey, protection: &Protection) -> anyhow::Result<()> {
    // Fail before the user chooses a passphrase.
    if path.exists() {
        bail!("{} already exists and is not overwritten: choose another name", path.display());
    }
    if protection.plain {
        return write_plain(path, key);
    }
    let passphrase = protection.source.choose(path)?;
    files::write_new(path, &key.to_pem(Some(&passphrase)), Access::Private)
}

/// Writes a key to a new file without encryption.
pub(crate) fn write_plain(path: &Path, key: &SecretKey) -> anyhow::Result<()> {
    files::write_new(path, &key.to_pem(None), Access::Private)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_bytes(&[7; 32]).unwrap()
    }

    fn secret(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let path = directory.path().join(name);
        files::write_new(&path, text, Access::Private).unwrap();
        path
    }

    #[test]
    fn an_encrypted_key_opens_only_with_its_passphrase() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let from = |name: &str, passphrase: &str| PassphraseSource {
            passphrase_file: Some(secret(&directory, name, passphrase)),
        };
        let good = from("good", "correct horse\nsecond line\n");
        write(&path, &key(), &Protection { source: good.clone(), plain: false }).unwrap();
        assert_eq!(read(&path, &good).unwrap().public(), key().public());

        let error = read(&path, &from("bad", "wrong")).unwrap_err().to_string();
        assert!(error.contains("does not open"), "{error}");
        let error = read(&path, &from("empty", "\n")).unwrap_err().to_string();
        assert!(error.contains("empty"), "{error}");
    }

    #[test]
    fn a_plain_key_needs_no_passphrase() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        write(&path, &key(), &Protection { plain: true, ..Protection::default() }).unwrap();
        assert_eq!(read(&path, &PassphraseSource::default()).unwrap().public(), key().public());
        let error = write(&path, &key(), &Protection { plain: true, ..Protection::default() }).unwrap_err();
        assert!(error.to_string().contains("not overwritten"), "{error}");
    }

    #[test]
    fn hex_of_other_programs_is_imported_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let source = PassphraseSource::default();
        for (name, text) in [("bare", "07".repeat(32)), ("prefixed", format!("0x{}\n", "07".repeat(32)))] {
            let path = secret(&directory, name, &text);
            assert_eq!(read_foreign(&path, &source).unwrap().public(), key().public(), "{name}");
        }
        for (name, text) in [("short", "07".repeat(31)), ("zero", "00".repeat(32)), ("words", "seven".into())]
        {
            let path = secret(&directory, name, &text);
            let error = format!("{:#}", read_foreign(&path, &source).unwrap_err());
            assert!(error.contains("neither PKCS#8 PEM nor"), "{name}: {error}");
            assert!(!error.contains(&text), "the text is not shown: {error}");
        }
    }

    #[test]
    fn a_file_without_a_key_is_refused_with_advice() {
        let directory = tempfile::tempdir().unwrap();
        let path = secret(&directory, "key.pem", "not a key");
        let error = read(&path, &PassphraseSource::default()).unwrap_err().to_string();
        assert!(error.contains("quorate key new"), "{error}");
    }
}
