//! Which protocol a node speaks, and which program it says it is.

use crate::direct::OpenError;

/// Version of the protocols between nodes, as it stands at the end of their names. Nodes with different ones do not talk.
pub const WIRE_VERSION: u32 = 1;

/// The longest name of a program that is kept, in bytes.
const PROGRAM_BYTES_MAX: usize = 64;

/// What identify says of the protocol on this network.
pub(crate) fn protocol(network: &str) -> String {
    format!("{}{WIRE_VERSION}", prefix(network))
}

fn prefix(network: &str) -> String {
    format!("/quorate/{network}/")
}

/// Compares what a member says with what this node speaks.
///
/// # Errors
/// What keeps the two apart.
pub(crate) fn check(network: &str, theirs: &str) -> Result<(), OpenError> {
    match theirs.strip_prefix(&prefix(network)).map(str::parse::<u32>) {
        Some(Ok(WIRE_VERSION)) => Ok(()),
        Some(Ok(theirs)) => Err(OpenError::OtherVersion { ours: WIRE_VERSION, theirs }),
        Some(Err(_)) | None => Err(OpenError::Foreign),
    }
}

/// The program this node says it is.
pub(crate) fn own_program() -> String {
    format!("quorate/{}", env!("CARGO_PKG_VERSION"))
}

/// What a member says it is, as far as it can be shown: printable ASCII, and not much of it.
pub(crate) fn program(claimed: &str) -> String {
    claimed.chars().filter(char::is_ascii_graphic).take(PROGRAM_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_network_with_another_version_is_told_from_another_network() {
        check("chain", &protocol("chain")).unwrap();
        let later = check("chain", "/quorate/chain/2").unwrap_err();
        assert!(matches!(later, OpenError::OtherVersion { ours: 1, theirs: 2 }), "{later}");
        for foreign in
            ["", "/quorate/chain", "/quorate/chain/", "/quorate/chain/x", "/quorate/other/1", "ipfs/0.1.0"]
        {
            assert!(matches!(check("chain", foreign), Err(OpenError::Foreign)), "{foreign:?}");
        }
    }

    #[test]
    fn what_a_member_says_it_is_cannot_do_harm() {
        assert_eq!(program(&own_program()), own_program());
        assert_eq!(program("a\u{1b}[31m b\n\u{e9}"), "a[31mb");
        assert_eq!(program(&"x".repeat(10_000)).len(), PROGRAM_BYTES_MAX);
    }
}
