//! The same block in several versions, one for each group of members.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, BlockHash, Commit, Header, ReplicaId};
use quorate_pbft::{Message, PrePrepare, Prepare, Proposal};

use crate::byzantine::brain::Pen;
use crate::random::Random;

/// Versions that are remembered.
const KEPT: usize = 512;

/// Who gets which version. Versions of a block differ in its time, and in the parent if that has versions.
#[derive(Debug)]
pub struct Disguise {
    group_of: Vec<usize>,
    shift_ms: Vec<u64>,
    versions: BTreeMap<(usize, BlockHash), Header>,
    origins: BTreeMap<BlockHash, BlockHash>,
}

impl Disguise {
    /// Two groups by chance, or every member a group of its own. The first version is the true one.
    pub fn split(random: &mut Random, members: usize) -> Self {
        let each = random.permille(300);
        let group_of = (0..members).map(|member| if each { member } else { random.index(2) }).collect();
        Disguise::of(group_of, (0..members.max(2) as u64).collect())
    }

    /// One group that gets blocks of another time.
    pub fn shifted(members: usize, milliseconds: u64) -> Self {
        Disguise::of(vec![0; members], vec![milliseconds])
    }

    fn of(group_of: Vec<usize>, shift_ms: Vec<u64>) -> Self {
        Disguise { group_of, shift_ms, versions: BTreeMap::new(), origins: BTreeMap::new() }
    }

    fn group(&self, to: ReplicaId) -> usize {
        self.group_of.get(to.index()).copied().unwrap_or(0)
    }

    /// The version of a block for a member, whichever version this is.
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

    /// The version of a liar's own proposal for a member.
    pub fn proposal(&mut self, pen: &Pen, me: ReplicaId, to: ReplicaId, proposal: &Proposal) -> Proposal {
        let header = self.header(to, &proposal.header, proposal.header.proposer == me);
        let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
        Proposal { vote: pen.sign(me, PrePrepare(ballot)), header, ids: proposal.ids.clone() }
    }

    /// A liar's own message, as it suits a member.
    pub fn message(&mut self, pen: &Pen, me: ReplicaId, to: ReplicaId, message: Message) -> Message {
        let ballot =
            |disguise: &Self, ballot: Ballot| Ballot { block: disguise.block(to, ballot.block), ..ballot };
        match message {
            Message::PrePrepare(proposal) if proposal.vote.signer == me => {
                Message::PrePrepare(self.proposal(pen, me, to, &proposal))
            }
            Message::Prepare(vote) if vote.signer == me => {
                Message::Prepare(pen.sign(me, Prepare(ballot(self, vote.body.0))))
            }
            Message::Commit(vote) if vote.signer == me => {
                Message::Commit(pen.sign(me, Commit(ballot(self, vote.body.0))))
            }
            other => other,
        }
    }
}
