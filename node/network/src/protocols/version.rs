//! The protocol version, the protocol names that contain it, and the program version that nodes
//! announce.

use libp2p::StreamProtocol;
use libp2p::gossipsub::IdentTopic;

use crate::direct::behaviour::OpenError;

/// Version of the protocols between nodes, the last part of their names. Nodes with different
/// versions cannot communicate.
pub const WIRE_VERSION: u32 = 2;

/// The longest program name that is kept, in bytes.
const PROGRAM_BYTES_MAX: usize = 64;

/// The protocol names of this network.
pub(crate) struct Names {
    network: String,
}

impl Names {
    pub(crate) fn new(network: &str) -> Self {
        Self { network: network.to_owned() }
    }

    /// The protocol version that identify sends and expects.
    pub(crate) fn version(&self) -> String {
        protocol(&self.network)
    }

    /// The gossip topic.
    pub(crate) fn topic(&self) -> IdentTopic {
        IdentTopic::new(format!("/quorate/{}/gossip/{WIRE_VERSION}", self.network))
    }

    /// The name of one protocol of this network.
    pub(crate) fn protocol(&self, part: &str) -> StreamProtocol {
        let name = format!("/quorate/{}/{part}/{WIRE_VERSION}", self.network);
        StreamProtocol::try_from_owned(name).expect("it begins with a slash")
    }
}

/// The protocol version that identify announces on this network.
pub(crate) fn protocol(network: &str) -> String {
    format!("{}{WIRE_VERSION}", prefix(network))
}

fn prefix(network: &str) -> String {
    format!("/quorate/{network}/")
}

/// Compares the protocol version that a member announces with this node's.
///
/// # Errors
/// [`OpenError::OtherVersion`] for another version, [`OpenError::Foreign`] for another network.
pub(crate) fn check(network: &str, theirs: &str) -> Result<(), OpenError> {
    match theirs.strip_prefix(&prefix(network)).map(str::parse::<u32>) {
        Some(Ok(WIRE_VERSION)) => Ok(()),
        Some(Ok(theirs)) => Err(OpenError::OtherVersion { ours: WIRE_VERSION, theirs }),
        Some(Err(_)) | None => Err(OpenError::Foreign),
    }
}

/// The program name and version that this node announces.
pub(crate) fn own_program() -> String {
    format!("quorate/{}", env!("CARGO_PKG_VERSION"))
}

/// The program that a member claims, reduced to at most 64 characters of printable ASCII.
pub(crate) fn program(claimed: &str) -> String {
    claimed.chars().filter(char::is_ascii_graphic).take(PROGRAM_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn another_version_is_distinguished_from_another_network() {
        check("chain", &protocol("chain")).unwrap();
        let later = check("chain", "/quorate/chain/3").unwrap_err();
        assert!(matches!(later, OpenError::OtherVersion { ours: 2, theirs: 3 }), "{later}");
        for foreign in
            ["", "/quorate/chain", "/quorate/chain/", "/quorate/chain/x", "/quorate/other/2", "ipfs/0.1.0"]
        {
            assert!(matches!(check("chain", foreign), Err(OpenError::Foreign)), "{foreign:?}");
        }
    }

    #[test]
    fn a_claimed_program_name_is_reduced_to_short_printable_ascii() {
        assert_eq!(program(&own_program()), own_program());
        assert_eq!(program("a\u{1b}[31m b\n\u{e9}"), "a[31mb");
        assert_eq!(program(&"x".repeat(10_000)).len(), PROGRAM_BYTES_MAX);
    }
}
