//! The programs under test.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// The sources of the programs in the workspace.
const SOURCES: [&str; 6] = ["Cargo.lock", "Cargo.toml", "genesis", "ledger", "node", "rpc"];

/// The `quorate` program: the one in `QUORATE_BIN`, or the one built from this workspace in the
/// profile of the running test. It is built once per process if it is missing or older than its
/// sources.
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

/// An example of the client, built in the same way as [`quorate`].
///
/// # Panics
/// If it cannot be built.
pub(crate) fn example(name: &str) -> PathBuf {
    current(&output().join("examples").join(name), &["--package", "quorate-client", "--example", name])
}

/// The directory of cargo's programs. A test is at `<target>/<profile>/deps/<test>`.
fn output() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its executable");
    test.ancestors().nth(2).expect("cargo puts tests two directories deep").to_owned()
}

/// A test run of the whole workspace has just built the program, with the features of all crates
/// united. Building it alone would rebuild half of the dependencies with fewer features.
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

/// Whether the program is newer than all its sources. Cargo writes a list of the sources only for
/// programs that it was asked to build, not for those that it builds for tests.
fn is_current(binary: &Path) -> bool {
    let Some(built) = changed(binary) else { return false };
    let mut open: Vec<PathBuf> = SOURCES.iter().map(|name| workspace().join(name)).collect();
    while let Some(path) = open.pop() {
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
        open.extend(entries);
        if !path.is_dir() && changed(&path).is_none_or(|changed| changed > built) {
            return false;
        }
    }
    true
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_or_older_than_its_sources_is_not_current() {
        let lock = workspace().join("Cargo.lock");
        assert!(!is_current(&workspace().join("no such program")));
        assert!(SOURCES.iter().all(|name| workspace().join(name).exists()));
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let binary = directory.path().join("program");
        let file = std::fs::File::create(&binary).expect("a file can be made");
        assert!(is_current(&binary), "it was just created");
        let before = changed(&lock).expect("it is there") - std::time::Duration::from_secs(1);
        file.set_modified(before).expect("a file may be made older");
        assert!(!is_current(&binary));
    }
}
