//! The programs under test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The `quorate` program: the one that `QUORATE_BIN` names, else the one built from this workspace in the
/// profile of the running test. It is built when it is missing or older than its sources, once in a process.
///
/// # Panics
/// If it cannot be built.
pub fn quorate() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("QUORATE_BIN") {
        Some(given) => given.into(),
        None => current(&output().join("quorate"), &["--package", "quorate", "--bin", "quorate"]),
    })
}

/// An example of the client, built as [`quorate`] is.
///
/// # Panics
/// If it cannot be built.
pub(crate) fn example(name: &str) -> PathBuf {
    current(&output().join("examples").join(name), &["--package", "quorate-client", "--example", name])
}

/// Where cargo puts programs: it puts a test into `<target>/<profile>/deps/<test>`.
fn output() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its executable");
    test.ancestors().nth(2).expect("cargo puts tests two directories deep").to_owned()
}

/// A test run of the whole workspace has just built it, with the features of all crates united. Asking cargo for
/// it alone would build half of the dependencies again with fewer features.
fn current(path: &Path, target: &[&str]) -> PathBuf {
    let binary = path.with_extension(std::env::consts::EXE_EXTENSION);
    if !is_current(&binary) {
        build(target);
    }
    assert!(binary.is_file(), "cargo built no {}", binary.display());
    binary
}

fn build(what: &[&str]) {
    let output = output();
    let profile = output.file_name().expect("the profile's directory has a name");
    let profile = if profile == "debug" { "dev".into() } else { profile.to_owned() };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let target = output.parent().expect("the profile's directory is in the target directory");
    let status = Command::new(cargo)
        .args(["build", "--quiet"])
        .args(what)
        .arg("--profile")
        .arg(profile)
        .arg("--target-dir")
        .arg(target)
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"))
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "the program under test does not build: {status}");
}

fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate is two directories deep in the workspace")
}

/// Whether the program is newer than everything it was made from, as the list beside it says that cargo
/// writes for `make`.
fn is_current(binary: &Path) -> bool {
    let Some(built) = changed(binary) else { return false };
    let Ok(list) = std::fs::read_to_string(binary.with_extension("d")) else { return false };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    let lock = workspace().join("Cargo.lock");
    let sources = split_at_unescaped_spaces(sources).into_iter().map(PathBuf::from);
    sources.chain([lock]).all(|source| changed(&source).is_some_and(|changed| changed <= built))
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

/// `make` separates names by spaces and puts a backslash before those inside names.
fn split_at_unescaped_spaces(text: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = text.trim_end().chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&' ').is_some() => names.last_mut().expect("never empty").push(' '),
            ' ' => names.push(String::new()),
            other => names.last_mut().expect("never empty").push(other),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_stay_whole() {
        assert_eq!(split_at_unescaped_spaces("a/b.rs c\\ d.rs e\\f\n"), ["a/b.rs", "c d.rs", "e\\f"]);
        assert!(split_at_unescaped_spaces("").is_empty());
    }
}
