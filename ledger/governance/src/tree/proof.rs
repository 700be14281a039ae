//! Proofs that the governance state has an entry, or has none with a key.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{Hash, bounded, encode};

use super::{bit, empty_hash, leaf_hash, node_hash, path_of, value_hash};
use crate::state::EntryKey;

/// One more than the deepest leaf: the first sibling is the root of the other part of the state.
const MAX_SIBLINGS: u32 = 257;

/// The siblings from an entry of the governance state to the state root (an audit path). They prove
/// the value of the entry, or that the state has no entry with this key.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EntryProof {
    /// The root of the other part of the state, then the siblings, the one below the root first.
    #[borsh(deserialize_with = "bounded::<MAX_SIBLINGS, _, _>")]
    siblings: Vec<Hash>,
    /// Of a proof of absence: path and value hash of the leaf at the place of the entry; `None` if the
    /// place is empty.
    other: Option<(Hash, Hash)>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No tree has so many levels, or the root of the other part is missing.
    #[error("the proof has an impossible number of hashes: request it again")]
    Length,
    /// The proof names an entry where it must not.
    #[error("the proof names another entry that does not exclude this one: request it again")]
    Other,
    /// The hashes lead to another root.
    #[error("the proof leads to another state root: request it for the same height as the root")]
    Root,
}

impl EntryProof {
    /// The proof for a key, from the siblings in its part of the state and the root of the other part.
    pub(crate) fn new(
        path: &Hash,
        (own, leaf): (Vec<Hash>, Option<(Hash, Hash)>),
        other_part: Hash,
    ) -> EntryProof {
        let mut siblings = vec![other_part];
        siblings.extend(own);
        EntryProof { siblings, other: leaf.filter(|(found, _)| found != path) }
    }

    /// Checks that the state with this root has an entry with this key and encoded value, or has no
    /// entry with this key if `value` is `None`.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, root: &Hash, key: &EntryKey, value: Option<&[u8]>) -> Result<(), ProofError> {
        let path = path_of(&encode(key));
        let (other_part, siblings) = self.siblings.split_first().ok_or(ProofError::Length)?;
        if siblings.len() >= MAX_SIBLINGS as usize {
            return Err(ProofError::Length);
        }
        let mut hash = self.place(&path, siblings.len(), value)?;
        for (depth, sibling) in siblings.iter().enumerate().rev() {
            hash = if bit(&path, depth) { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
        }
        let top = if key.is_client() { node_hash(other_part, &hash) } else { node_hash(&hash, other_part) };
        if top == *root { Ok(()) } else { Err(ProofError::Root) }
    }

    /// The hash at the place of the entry.
    fn place(&self, path: &Hash, depth: usize, value: Option<&[u8]>) -> Result<Hash, ProofError> {
        match (value, &self.other) {
            (Some(value), None) => Ok(leaf_hash(path, &value_hash(value))),
            (None, None) => Ok(empty_hash()),
            (None, Some((other, value))) => {
                // Another leaf excludes the path only where both would be at the same place.
                let same_place = (0..depth).all(|depth| bit(other, depth) == bit(path, depth));
                if other == path || !same_place {
                    return Err(ProofError::Other);
                }
                Ok(leaf_hash(other, value))
            }
            (Some(_), Some(_)) => Err(ProofError::Other),
        }
    }
}
