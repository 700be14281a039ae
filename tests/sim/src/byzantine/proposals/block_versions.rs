//! Several versions of a block, one for each group of members.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, BlockHash, Commit, Header, ReplicaId};
use quorate_pbft::{Message, PrePrepare, Prepare, Proposal};

use crate::byzantine::collusion::SigningKeys;
use crate::random::Random;

/// Upper limit of versions that are kept.
const KEPT: usize = 512;

/// Which members receive which version. Versions of a block differ in time, and in the parent if
/// that has versions.
#[derive(Debug)]
pub struct BlockVersions {
    group_of: Vec<usize>,
    shift_ms: Vec<u64>,
    versions: BTreeMap<(usize, BlockHash), Header>,
    origins: BTreeMap<BlockHash, BlockHash>,
}

impl BlockVersions {
    /// Two random groups, or a separate group for each member. The first version is the true one.
    pub fn split(random: &mut Random, members: usize) -> Self {
        let each = random.permille(300);
        let group_of = (0..members).map(|member| if each { member } else { random.index(2) }).collect();
        BlockVersions::of(group_of, (0..members.max(2) as u64).collect())
    }

    /// One group that receives blocks with another time.
    pub fn shifted(members: usize, milliseconds: u64) -> Self {
        BlockVersions::of(vec![0; members], vec![milliseconds])
    }

    fn of(group_of: Vec<usize>, shift_ms: Vec<u64>) -> Self {
        BlockVersions { group_of, shift_ms, versions: BTreeMap::new(), origins: BTreeMap::new() }
    }

    fn group(&self, to: ReplicaId) -> usize {
        self.group_of.get(to.index()).copied().unwrap_or(0)
    }

    /// The member's version of a block, given any version of it.
    pub fn block(&self, to: ReplicaId, block: BlockHash) -> BlockHash {
        let origin = self.origins.get(&block).copied().unwrap_or(block);
        self.versions.get(&(self.group(to), origin)).map_or(origin, Header::hash)
    }

    fn header(&mut self, to: ReplicaId, header: &Header, own: bool) -> Header {
        let group = self.group(to);
        let origin = header.hash();
        if let Some(known) = self.versions.get(&(group, origin)) {
            return known.clone();
        }
        let mut version = header.clone();
        version.parent = self.block(to, header.parent);
        if own {
            version.timestamp = header.timestamp.plus_ms(self.shift_ms[group]);
        }
        if self.versions.len() < KEPT {
            self.origins.insert(version.hash(), origin);
            self.versions.insert((group, origin), version.clone());
        }
        version
    }

    /// The version of a Byzantine member's own proposal for a receiver.
    pub fn proposal(
        &mut self,
        keys: &SigningKeys,
        me: ReplicaId,
        to: ReplicaId,
        proposal: &Proposal,
    ) -> Proposal {
        let header = self.header(to, &proposal.header, proposal.header.proposer == me);
        let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
        Proposal { vote: keys.sign(me, PrePrepare(ballot)), header, ids: proposal.ids.clone() }
    }

    /// A Byzantine member's own message, with the receiver's version of the block.
    pub fn message(&mut self, keys: &SigningKeys, me: ReplicaId, to: ReplicaId, message: Message) -> Message {
        let ballot =
            |versions: &Self, ballot: Ballot| Ballot { block: versions.block(to, ballot.block), ..ballot };
        match message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me => {
                Message::PrePrepare(self.proposal(keys, me, to, &proposal))
            }
            Message::Prepare(vote) if vote.signer == me => {
                Message::Prepare(keys.sign(me, Prepare(ballot(self, vote.body.0))))
            }
            Message::Commit(vote) if vote.signer == me => {
                Message::Commit(keys.sign(me, Commit(ballot(self, vote.body.0))))
            }
            other => other,
        }
    }
}
