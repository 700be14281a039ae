//! The committee, and the number of votes that decide.

use crate::codec::encode;
use crate::hash::{Domain, Hash, tagged_hash};
use crate::keys::{PublicKey, Signature, VerifyingKey};
use crate::limits::MAX_MEMBERS;
use crate::mutant::{Mutant, is};
use crate::units::{Epoch, ReplicaId, View};

/// Why these keys cannot form a committee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// No member at all, or more than [`MAX_MEMBERS`].
    #[error("a committee has 1 to {MAX_MEMBERS} members, not {0}")]
    Size(usize),
    /// The members are not in the order of their keys, which gives every member the same index on
    /// all nodes.
    #[error("the members must be in ascending order of their keys, each once: {0} is out of order")]
    Order(PublicKey),
    /// The bytes are not a point of the curve, so the key can have no signatures.
    #[error("{0} is not a secp256k1 public key")]
    Key(PublicKey),
}

/// The members of one epoch, in ascending order of their public keys.
///
/// Two epochs with the same members have different committees with different hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    epoch: Epoch,
    members: Vec<PublicKey>,
    keys: Vec<VerifyingKey>,
    hash: Hash,
}

impl Committee {
    /// The committee of an epoch with these members, given in ascending order.
    ///
    /// # Errors
    /// [`CommitteeError`].
    pub fn new(epoch: Epoch, members: Vec<PublicKey>) -> Result<Self, CommitteeError> {
        if members.is_empty() || members.len() > MAX_MEMBERS {
            return Err(CommitteeError::Size(members.len()));
        }
        if let Some(pair) = members.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(CommitteeError::Order(pair[1]));
        }
        let keys = members
            .iter()
            .map(|member| member.parse().map_err(|_| CommitteeError::Key(*member)))
            .collect::<Result<_, _>>()?;
        let hash = hash_of(epoch, &members);
        Ok(Committee { epoch, members, keys, hash })
    }

    /// The same members in another epoch.
    #[must_use]
    pub fn in_epoch(&self, epoch: Epoch) -> Committee {
        let hash = hash_of(epoch, &self.members);
        Committee { epoch, hash, ..self.clone() }
    }

    /// The epoch in which these members order blocks.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Number of members, n.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The number f of members that may be faulty in any way (Byzantine) at once: the largest f
    /// with 3f + 1 <= n.
    ///
    /// For members that are only unavailable, see [`Committee::may_be_down`].
    pub fn faults(&self) -> usize {
        (self.size() - 1) / 3
    }

    /// The number of members that may be down at once while the others, all of them correct, still
    /// order blocks: n - quorum.
    ///
    /// A member is down if it crashed or is unreachable. The number is never less than
    /// [`Committee::faults`], and greater if n is a multiple of 3: of six members one may be
    /// Byzantine, but two may be down.
    pub fn may_be_down(&self) -> usize {
        self.size() - self.quorum()
    }

    /// Number of votes in a certificate: the smallest number such that any two quorums share a
    /// correct member. It is 2f + 1 only if n = 3f + 1.
    pub fn quorum(&self) -> usize {
        if is(Mutant::QuorumOfTwoFaults) {
            return 2 * self.faults() + 1;
        }
        usize::midpoint(self.size(), self.faults()) + 1
    }

    /// The weak quorum f + 1: at least one of so many distinct members is correct.
    pub fn weak_quorum(&self) -> usize {
        self.faults() + 1
    }

    /// The primary of a view of this epoch. Epochs that follow each other with the same members
    /// begin with different primaries.
    pub fn primary(&self, view: View) -> ReplicaId {
        let sum = u128::from(self.epoch.0) + u128::from(view.0);
        let index = sum % self.size() as u128;
        ReplicaId(u16::try_from(index).expect("an index below the size of a committee"))
    }

    /// The members in order.
    pub fn members(&self) -> &[PublicKey] {
        &self.members
    }

    /// The indices of all members, in order.
    pub fn replicas(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        let size = u16::try_from(self.size()).expect("a committee is small");
        (0..size).map(ReplicaId)
    }

    /// The public key of a member.
    pub fn member(&self, replica: ReplicaId) -> Option<&PublicKey> {
        self.members.get(replica.index())
    }

    /// The parsed key that verifies a member's signatures.
    pub fn key(&self, replica: ReplicaId) -> Option<&VerifyingKey> {
        self.keys.get(replica.index())
    }

    /// Whether a member signed this hash; false if there is no such member. Costs one k256
    /// verification, about 50 µs.
    pub fn verifies(&self, replica: ReplicaId, hash: &Hash, signature: &Signature) -> bool {
        self.key(replica).is_some_and(|key| key.verify(hash, signature))
    }

    /// The index of a member.
    pub fn index_of(&self, member: &PublicKey) -> Option<ReplicaId> {
        let index = self.members.binary_search(member).ok()?;
        Some(ReplicaId(u16::try_from(index).expect("a committee is small")))
    }

    /// The hash that identifies the epoch and its members in headers.
    pub fn hash(&self) -> Hash {
        self.hash
    }
}

/// The epoch makes the hash unique along the chain, also where the members stay the same. So a header
/// whose two committee hashes differ is the last of its epoch.
fn hash_of(epoch: Epoch, members: &[PublicKey]) -> Hash {
    tagged_hash(Domain::Committee, &[&encode(&epoch), &encode(members)])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys::SecretKey;

    /// The arithmetic depends only on the size. Real keys would make the test slow, and limit it to
    /// [`MAX_MEMBERS`].
    fn of_size(size: usize) -> Committee {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap().public();
        Committee { epoch: Epoch(0), members: vec![key; size], keys: Vec::new(), hash: Hash::ZERO }
    }

    #[test]
    fn two_quorums_share_a_correct_member_and_the_correct_members_form_one() {
        for n in 1..=200 {
            let (f, quorum) = (of_size(n).faults(), of_size(n).quorum());
            assert!(3 * f < n && n <= 3 * f + 3, "f is the largest possible with {n}");
            assert!(2 * quorum - n > f, "safe with {n}");
            assert!(quorum <= n - f, "live with {n}");
            assert!(of_size(n).may_be_down() >= f, "as many members may be down as may be faulty with {n}");
            assert!(2 * quorum - f > n, "a view change meets every commit quorum with {n}");
            assert_eq!(quorum, (2 * n).div_ceil(3), "the same as two thirds rounded up with {n}");
        }
    }

    #[test]
    fn faults_and_quorums_match_the_table_of_the_protocol() {
        let rows = [
            (1, 0, 0, 1),
            (2, 0, 0, 2),
            (3, 0, 1, 2),
            (4, 1, 1, 3),
            (5, 1, 1, 4),
            (6, 1, 2, 4),
            (7, 2, 2, 5),
            (10, 3, 3, 7),
        ];
        for (n, f, down, quorum) in rows {
            let committee = of_size(n);
            let got = (committee.faults(), committee.may_be_down(), committee.quorum());
            assert_eq!(got, (f, down, quorum), "{n} members");
        }
    }

    #[test]
    fn members_out_of_order_or_twice_are_refused() {
        let mut members: Vec<PublicKey> =
            (1..=3).map(|n| SecretKey::from_bytes(&[n; 32]).unwrap().public()).collect();
        members.sort();
        let sorted = Committee::new(Epoch(0), members.clone()).unwrap();
        assert_eq!(sorted.index_of(&members[2]), Some(ReplicaId(2)));
        members.swap(0, 1);
        assert_eq!(Committee::new(Epoch(0), members.clone()), Err(CommitteeError::Order(members[1])));
        assert_eq!(
            Committee::new(Epoch(0), vec![members[0], members[0]]),
            Err(CommitteeError::Order(members[0])),
            "the same member twice"
        );
        assert_eq!(Committee::new(Epoch(0), Vec::new()), Err(CommitteeError::Size(0)));
    }

    /// The same members in the next epoch (renew) have another hash and another first primary.
    #[test]
    fn a_committee_belongs_to_its_epoch() {
        let mut members: Vec<PublicKey> =
            (1..=3).map(|n| SecretKey::from_bytes(&[n; 32]).unwrap().public()).collect();
        members.sort();
        let [first, second] = [4, 5].map(|epoch| Committee::new(Epoch(epoch), members.clone()).unwrap());
        assert_eq!((first.epoch(), second.epoch()), (Epoch(4), Epoch(5)));
        assert_ne!(first.hash(), second.hash());
        assert_eq!(first.primary(View(0)), ReplicaId(1));
        assert_eq!(second.primary(View(0)), ReplicaId(2));
    }
}
