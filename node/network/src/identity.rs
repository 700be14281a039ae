//! The identity of a node: its validator key, and the libp2p peer id that is derived from it.

use std::collections::BTreeSet;
use std::fmt;

use libp2p::PeerId;
use libp2p::identity::{Keypair, PublicKey, secp256k1};
use zeroize::Zeroizing;

use crate::dialing::addresses::without_peer;

/// Length of a compressed secp256k1 public key in bytes.
pub const KEY_BYTES: usize = 33;

/// A compressed secp256k1 public key: the identity of a member.
///
/// The type holds any 33 bytes. Whether they are a point of the curve is checked where the key is
/// used ([`peer_id_text`], [`start`](crate::start())). Printed as lower-case hex with `0x`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(pub [u8; KEY_BYTES]);

impl fmt::Display for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerKey({self})")
    }
}

/// The bytes of a [`PeerKey`] are not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not a compressed secp256k1 public key; check the list of members")]
pub struct InvalidKey {
    /// The bytes in question.
    pub key: PeerKey,
}

/// The text of the libp2p peer id of `key` (it begins with `16Uiu2HA`), as it follows `/p2p/` in a
/// multiaddress.
///
/// # Errors
/// [`InvalidKey`] if the bytes are not a point of the curve in compressed form.
pub fn peer_id_text(key: &PeerKey) -> Result<String, InvalidKey> {
    peer_id(key).map(|id| id.to_base58())
}

/// The libp2p peer id of `key`.
pub(crate) fn peer_id(key: &PeerKey) -> Result<PeerId, InvalidKey> {
    // The parser also accepts x-only points (tag 5), which would give one key two encodings.
    if !matches!(key.0[0], 2 | 3) {
        return Err(InvalidKey { key: *key });
    }
    let point = secp256k1::PublicKey::try_from_bytes(&key.0).map_err(|_| InvalidKey { key: *key })?;
    Ok(PublicKey::from(point).to_peer_id())
}

/// The key of this libp2p peer id; `None` if it is not that of a secp256k1 key.
pub(crate) fn key_of(id: &PeerId) -> Option<PeerKey> {
    // The id of a short key is the key itself, behind a marker that there is no hash.
    const IDENTITY: u64 = 0;
    let content = id.as_ref();
    let encoded = (content.code() == IDENTITY).then(|| content.digest())?;
    let public = PublicKey::try_decode_protobuf(encoded).ok()?.try_into_secp256k1().ok()?;
    Some(PeerKey(public.to_bytes()))
}

/// The keys in the peer ids of these addresses, each once. Addresses without a peer id, with that of
/// another kind of key, or in a wrong form have none.
pub fn keys_in(addresses: &[String]) -> Vec<PeerKey> {
    let of_address = |address: &String| {
        let (_, id) = without_peer(&address.parse().ok()?).ok()?;
        key_of(&id?)
    };
    let keys: BTreeSet<PeerKey> = addresses.iter().filter_map(of_address).collect();
    keys.into_iter().collect()
}

/// The secret key cannot be used. The error does not reveal its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key of this node is not a valid secp256k1 secret key; check the key file")]
pub struct InvalidSecret;

/// The libp2p key pair and the public identity of a secret key.
pub(crate) fn keypair(secret: &Zeroizing<[u8; 32]>) -> Result<(Keypair, PeerKey), InvalidSecret> {
    // libp2p wipes the array that it receives, so it receives a copy.
    let mut copy = secret.clone();
    let secret = secp256k1::SecretKey::try_from_bytes(copy.as_mut_slice()).map_err(|_| InvalidSecret)?;
    let pair = secp256k1::Keypair::from(secret);
    let key = PeerKey(pair.public().to_bytes());
    Ok((pair.into(), key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_peer_id_comes_from_the_key_alone() {
        let (pair, key) = keypair(&Zeroizing::new([7; 32])).unwrap();
        assert_eq!(peer_id(&key).unwrap(), pair.public().to_peer_id());
        assert!(peer_id_text(&key).unwrap().starts_with("16Uiu2HA"));
        assert_eq!(key_of(&peer_id(&key).unwrap()), Some(key));
        let hash = [&[0x12, 32][..], &[7; 32]].concat();
        assert_eq!(key_of(&PeerId::from_bytes(&hash).unwrap()), None, "the SHA-256 of a longer key");
    }

    #[test]
    fn only_compressed_points_are_keys() {
        let (_, key) = keypair(&Zeroizing::new([7; 32])).unwrap();
        for tag in [0, 1, 4, 5, 6, 255] {
            let mut other = key;
            other.0[0] = tag;
            assert_eq!(peer_id(&other), Err(InvalidKey { key: other }), "tag {tag}");
        }
        let off_curve = PeerKey([2; KEY_BYTES].map(|_| 0xff));
        assert!(peer_id_text(&off_curve).is_err());
    }

    #[test]
    fn zero_and_the_group_order_are_no_secrets() {
        assert_eq!(keypair(&Zeroizing::new([0; 32])).err(), Some(InvalidSecret));
        assert_eq!(keypair(&Zeroizing::new([0xff; 32])).err(), Some(InvalidSecret));
    }

    #[test]
    fn keys_are_printed_as_hex() {
        let text = PeerKey([0xab; KEY_BYTES]).to_string();
        assert_eq!(text, format!("0x{}", "ab".repeat(KEY_BYTES)));
    }
}
