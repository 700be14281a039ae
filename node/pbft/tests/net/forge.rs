//! Messages of Byzantine members: any content, signed with the keys that they hold.

use std::collections::BTreeMap;

use quorate_ledger::{
    Ballot, BlockSkeleton, Commit, CommitCertificate, Signable, SignatureSet, Signed, Signers, View, decode,
    encode,
};
use quorate_pbft::{
    Input, Message, NewView, NewViewMessage, PrePrepare, Prepare, PreparedCertificate, Proposal, Rejected,
    Selection, ViewChange, ViewChangeMessage, ViewChangePayload,
};

use super::{Envelope, Net, ballot, block, id};

/// The view-change payload of a member that has committed nothing and prepared these blocks.
pub(crate) fn payload_of(prepared: Vec<PreparedCertificate>) -> ViewChangePayload {
    ViewChangePayload { anchor: None, prepared }
}

impl Net {
    /// A block on the root of the epoch, of this member.
    pub(crate) fn first_block(&self, name: &str, proposer: usize) -> BlockSkeleton {
        block(&self.root, name, self.now(0).wall, id(proposer))
    }

    /// Two blocks at height 1 of member 0, called A and B.
    pub(crate) fn two_blocks(&mut self) -> (BlockSkeleton, BlockSkeleton) {
        let [a, b] = ["A", "B"].map(|name| {
            let skeleton = self.first_block(name, 0);
            self.name(&skeleton, name);
            skeleton
        });
        (a, b)
    }

    /// Signs any statement in the name of a member.
    pub(crate) fn sign<T: Signable>(&self, signer: usize, body: T) -> Signed<T> {
        Signed::sign(&self.config.context.chain, &self.keys[signer], id(signer), body).into_inner()
    }

    pub(crate) fn proposal(&self, signer: usize, skeleton: &BlockSkeleton, view: u64) -> Message {
        // The epoch that the header claims does not matter.
        let ballot = Ballot { epoch: self.config.context.epoch(), ..ballot(skeleton, view) };
        let vote = self.sign(signer, PrePrepare(ballot));
        Message::PrePrepare(Proposal {
            vote,
            header: skeleton.header().clone(),
            ids: skeleton.ids().to_vec(),
        })
    }

    pub(crate) fn prepare(&self, signer: usize, ballot: Ballot) -> Message {
        Message::Prepare(self.sign(signer, Prepare(ballot)))
    }

    pub(crate) fn commit(&self, signer: usize, ballot: Ballot) -> Message {
        Message::Commit(self.sign(signer, Commit(ballot)))
    }

    /// The primary of a view.
    pub(crate) fn primary_of(&self, view: u64) -> usize {
        self.config.context.committee.primary(View(view)).index()
    }

    /// A certificate of these members' COMMITs.
    pub(crate) fn certificate(&self, ballot: Ballot, signers: &[usize]) -> CommitCertificate {
        let votes: BTreeMap<_, _> = signers
            .iter()
            .map(|signer| (id(*signer), self.sign(*signer, Commit(ballot)).signature))
            .collect();
        let votes = SignatureSet::first(signers.len(), &votes).unwrap();
        CommitCertificate::claimed(ballot, votes)
    }

    /// The input of an engine that fetched these blocks, certified in view 0 by the first q
    /// members.
    pub(crate) fn fetched(&self, blocks: &[&BlockSkeleton]) -> Input {
        let signers: Vec<usize> = (0..self.config.context.committee.quorum()).collect();
        let certificate = self.certificate(ballot(blocks.last().unwrap(), 0), &signers);
        let context = &self.config.context;
        Input::CaughtUp {
            headers: blocks.iter().map(|block| block.header().clone()).collect(),
            certificate: certificate.verify(&context.chain, context).unwrap(),
        }
    }

    /// A prepared certificate of the primary's PRE-PREPARE and the PREPAREs of these backups, put
    /// together by hand.
    pub(crate) fn prepared(
        &self,
        skeleton: &BlockSkeleton,
        view: u64,
        backups: &[usize],
    ) -> PreparedCertificate {
        let ballot = ballot(skeleton, view);
        let mut bytes = encode(skeleton.header());
        bytes.extend(encode(&View(view)));
        bytes.extend(encode(&self.sign(self.primary_of(view), PrePrepare(ballot)).signature));
        bytes.extend(encode(&Signers::of(backups.iter().map(|backup| id(*backup)))));
        bytes.extend(u32::try_from(backups.len()).unwrap().to_le_bytes());
        for backup in backups {
            bytes.extend(encode(&self.sign(*backup, Prepare(ballot)).signature));
        }
        decode(&bytes).unwrap()
    }

    /// A VIEW-CHANGE with this payload.
    pub(crate) fn view_change(
        &self,
        signer: usize,
        view: u64,
        payload: ViewChangePayload,
    ) -> ViewChangeMessage {
        let body =
            ViewChange { epoch: self.config.context.epoch(), view: View(view), content: payload.hash() };
        ViewChangeMessage { vote: self.sign(signer, body), payload }
    }

    /// Three VIEW-CHANGEs for view 1. Only the last, of member 3, has the block prepared in view 0.
    pub(crate) fn changes(&self, skeleton: &BlockSkeleton) -> Vec<ViewChangeMessage> {
        vec![
            self.view_change(0, 1, ViewChangePayload::default()),
            self.view_change(1, 1, ViewChangePayload::default()),
            self.view_change(3, 1, payload_of(vec![self.prepared(skeleton, 0, &[2, 3])])),
        ]
    }

    /// Why replica 2 refuses this message of this member. It must refuse it.
    pub(crate) fn refusal(&mut self, from: usize, message: Message) -> Rejected {
        // Without the screen, the rate limits of R25d drop no message, however soon it follows the
        // last.
        let screening = std::mem::replace(&mut self.screening, false);
        let refused = self.receive(Envelope { from: id(from), to: id(2), message });
        self.screening = screening;
        refused.unwrap_err()
    }

    /// A NEW-VIEW of these VIEW-CHANGEs, with the PRE-PREPAREs that R20a requires.
    pub(crate) fn new_view(&self, view: u64, view_changes: Vec<ViewChangeMessage>) -> NewViewMessage {
        let selection =
            Selection::of(self.config.context.root, &view_changes.iter().map(|change| &change.payload))
                .unwrap();
        let ballots = selection.chain.iter().map(|header| Ballot {
            epoch: self.config.context.epoch(),
            view: View(view),
            height: header.height,
            block: header.hash(),
        });
        let again = ballots.map(|ballot| self.sign(self.primary_of(view), PrePrepare(ballot))).collect();
        self.new_view_of(view, view_changes, again)
    }

    /// A NEW-VIEW with any content, signed by the primary of the view.
    pub(crate) fn new_view_of(
        &self,
        view: u64,
        view_changes: Vec<ViewChangeMessage>,
        pre_prepares: Vec<Signed<PrePrepare>>,
    ) -> NewViewMessage {
        let content = NewViewMessage::content(&view_changes, &pre_prepares);
        let body = NewView { epoch: self.config.context.epoch(), view: View(view), content };
        NewViewMessage { vote: self.sign(self.primary_of(view), body), view_changes, pre_prepares }
    }
}
