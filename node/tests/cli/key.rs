//! `quorate key`.

use crate::program::{Scratch, command, finish, mode, quorate, set_mode};

/// The secret key 7, as hex, and its public key.
const SECRET: &str = "0707070707070707070707070707070707070707070707070707070707070707";
const PUBLIC: &str = "0x02989c0b76cb563971fdc9bef31ec06c3560f3249d6ee9e5d83c57625596e05f6f";

#[test]
fn a_new_key_is_encrypted_private_and_shown_by_its_public_half() {
    let scratch = Scratch::new();
    let passphrase = scratch.write_secret("passphrase", "correct horse\n");
    let key = scratch.text("key.pem");
    let made = quorate(["key", "new", &key, "--passphrase-file", &passphrase, "--output", "json"]).json();
    let pem = std::fs::read_to_string(&key).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "encrypted unless told otherwise");
    assert_eq!(mode(&scratch.path("key.pem")), 0o600);

    let shown = quorate(["key", "show", &key, "--passphrase-file", &passphrase, "--output", "json"]).json();
    assert_eq!(shown, made);
    assert!(shown["peer_id"].as_str().unwrap().starts_with("16Uiu2HA"), "{shown}");
}

#[test]
fn the_passphrase_may_come_from_the_environment_and_is_needed() {
    let scratch = Scratch::new();
    let key = scratch.text("key.pem");
    let with = |passphrase: &str, arguments: &[&str]| {
        finish(command(arguments).env("QUORATE_PASSPHRASE", passphrase))
    };
    with("correct horse", &["key", "new", &key]).ok();
    with("correct horse", &["key", "show", &key]).ok();
    let error = with("battery staple", &["key", "show", &key]).error();
    assert!(error.contains("does not open"), "{error}");
    assert!(!error.contains("battery"), "{error}");
    let error = with("", &["key", "show", &key]).error();
    assert!(error.contains("there is no terminal"), "an empty variable is as good as none: {error}");

    let error = quorate(["key", "show", &key]).error();
    assert!(error.contains("--passphrase-file") && error.contains("QUORATE_PASSPHRASE"), "{error}");
    let error = quorate(["key", "new", &scratch.text("other.pem")]).error();
    assert!(error.contains("--passphrase-file"), "{error}");
    assert_eq!(scratch.entries(), ["key.pem"], "nothing was written");
}

#[test]
fn nothing_is_overwritten() {
    let scratch = Scratch::new();
    let key = scratch.write_secret("key.pem", "something else");
    let error = quorate(["key", "new", &key, "--plain"]).error();
    assert!(error.contains("not overwritten"), "{error}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), "something else");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let scratch = Scratch::new();
    let key = scratch.text("key.pem");
    quorate(["key", "new", &key, "--plain"]).ok();
    quorate(["key", "show", &key]).ok();
    set_mode(&scratch.path("key.pem"), 0o644);
    let error = quorate(["key", "show", &key]).error();
    assert!(error.contains("chmod 600"), "{error}");

    let passphrase = scratch.write("passphrase", "not secret\n");
    set_mode(&scratch.path("passphrase"), 0o644);
    let error = quorate(["key", "new", &scratch.text("b.pem"), "--passphrase-file", &passphrase]).error();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn keys_in_other_forms_are_imported() {
    let scratch = Scratch::new();
    let hex = scratch.write_secret("hex", SECRET);
    let plain = scratch.text("plain.pem");
    let shown = quorate(["key", "import", &hex, &plain, "--plain", "--output", "json"]).json();
    assert_eq!(shown["public_key"], PUBLIC);

    // From PEM to an encrypted file and back.
    let passphrase = scratch.write_secret("passphrase", "correct horse");
    let sealed = scratch.text("sealed.pem");
    quorate(["key", "import", &plain, &sealed, "--passphrase-file", &passphrase]).ok();
    let again = scratch.text("again.pem");
    let run = quorate([
        "key",
        "import",
        &sealed,
        &again,
        "--plain",
        "--source-passphrase-file",
        &passphrase,
        "--output",
        "json",
    ]);
    assert_eq!(run.json()["public_key"], PUBLIC);
    assert_eq!(std::fs::read_to_string(&again).unwrap(), std::fs::read_to_string(&plain).unwrap());
}

#[test]
fn a_secret_is_never_printed() {
    let scratch = Scratch::new();
    let hex = scratch.write_secret("hex", SECRET);
    let key = scratch.text("key.pem");
    for run in [quorate(["key", "import", &hex, &key, "--plain"]), quorate(["key", "show", &key])] {
        assert!(!run.out.contains(SECRET) && !run.err.contains(SECRET), "{run:?}");
        assert!(!run.out.contains("PRIVATE"), "{run:?}");
    }
    let broken = scratch.write_secret("broken", &SECRET[2..]);
    let error = quorate(["key", "import", &broken, &scratch.text("b.pem"), "--plain"]).error();
    assert!(!error.contains(&SECRET[2..]), "{error}");
}
