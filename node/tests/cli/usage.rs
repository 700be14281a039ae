//! Help, versions and wrong command lines.

use crate::program::quorate;

#[test]
fn help_teaches_and_documents_the_exit_codes() {
    let help = quorate(["--help"]).ok();
    for part in ["quorate devnet", "quorate testnet", "Exit codes:", "not proven"] {
        assert!(help.contains(part), "{part} in {help}");
    }
    for command in ["devnet", "testnet", "node", "status", "verify", "bench"] {
        let help = quorate([command, "--help"]).ok();
        assert!(help.contains("Example"), "{command}: {help}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(quorate(["--version"]).ok().trim(), format!("quorate {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_command_lines_end_with_code_2() {
    let wrong: [&[&str]; 9] = [
        &[],
        &["no-such-command"],
        &["testnet"],
        &["verify", "receipt.json"],
        &["tx", "send"],
        &["tx", "send", "--data", "x", "--data-hex", "0x00"],
        &["tx", "send", "--data", "x", "--wait", "forever"],
        &["tx", "status", "0x12"],
        &["bench", "--network", "n", "--rate", "5", "--saturate"],
    ];
    for arguments in wrong {
        let run = quorate(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {run:?}");
        assert!(!run.err.is_empty(), "{arguments:?}");
    }
}
