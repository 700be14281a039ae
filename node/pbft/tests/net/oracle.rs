//! Invariants, checked on every message, record and block, with calculations of its own.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Ballot, BlockHash, CommitCertificate, Height, ReplicaId, Signature, Signed, View};
use quorate_pbft::{
    Checkpoint, EpochRoot, Finalised, Message, NewViewMessage, PreparedCertificate, Record, ViewChangePayload,
};

use super::node::Node;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    PrePrepare,
    Prepare,
    Commit,
    ViewChange,
    NewView,
    Checkpoint,
}

#[derive(Default)]
pub(crate) struct Oracle {
    members: usize,
    /// The heights of the epoch: above the root, up to the last one (R26b).
    pub(crate) heights: Option<(Height, Height)>,
    /// The statements of each correct member, by kind, view and height; the bytes of their content.
    statements: BTreeMap<(ReplicaId, Kind, View, Height), Vec<u8>>,
    /// Members in whose name the test sent a message that no correct node made.
    byzantine: BTreeSet<ReplicaId>,
    /// Every COMMIT that any member has sent.
    commits: BTreeSet<(ReplicaId, Ballot, Signature)>,
    /// The final blocks of correct members.
    finals: BTreeMap<Height, BlockHash>,
    /// The state at each checkpoint that correct members signed.
    states: BTreeMap<Height, Checkpoint>,
    /// Length of each member's chain at its last check.
    checked_lengths: BTreeMap<ReplicaId, usize>,
    /// How many records of each member's journal are checked, and the view below which it must not
    /// vote.
    read: BTreeMap<ReplicaId, (usize, View)>,
    /// The view of each member at the time of its last write.
    views: BTreeMap<ReplicaId, View>,
}

impl Oracle {
    pub(crate) fn of(members: usize) -> Self {
        Oracle { members, ..Oracle::default() }
    }

    /// R26b: nothing of an epoch is about a height outside of it.
    fn is_in_epoch(&self, height: Height, what: &str) {
        let inside = self.heights.is_none_or(|(root, last)| root < height && height <= last);
        assert!(inside, "R26: {what} at height {height}, outside of the epoch");
    }

    fn quorum(&self) -> usize {
        (2 * self.members).div_ceil(3)
    }

    /// Checks the records that a correct node has written. No vote in a view follows the
    /// VIEW-CHANGE that left it (R19a). Each view that was entered begins with the chain that R20a
    /// selects.
    pub(crate) fn wrote(&mut self, node: &Node) {
        let (read, mut left) = self.read.get(&node.me).copied().unwrap_or_default();
        for record in &node.journal[read..] {
            let (vote, floor) = match record {
                Record::Accepted(proposal) => (Some(proposal.ballot().view), left),
                Record::Prepared(certificate) => (Some(certificate.view()), left),
                Record::ViewChange(change) => (None, change.view()),
                Record::NewView(new_view) => {
                    self.check_selection(node.config().context.root, new_view.message());
                    (None, new_view.view())
                }
                _ => (None, left),
            };
            assert!(
                vote.is_none_or(|view| view >= left),
                "R19: member {} votes in {vote:?} < {left}",
                node.me
            );
            assert!(floor >= left, "member {} goes back from view {left} to {floor}", node.me);
            left = floor;
        }
        self.read.insert(node.me, (node.journal.len(), left));
        if node.runs() {
            let view = node.replica().view();
            let before = self.views.insert(node.me, view).unwrap_or(View(0));
            assert!(view >= before, "member {} was in view {before} and is in {view}", node.me);
        }
    }

    /// R20: selects committed anchor and chain again, by another method than the replica.
    fn check_selection(&self, root: EpochRoot, message: &NewViewMessage) {
        let changes = &message.view_changes;
        let view = message.vote.body.view;
        let signers: BTreeSet<ReplicaId> = changes.iter().map(|change| change.vote.signer).collect();
        assert_eq!(
            (signers.len(), changes.len()),
            (self.quorum(), self.quorum()),
            "a quorum of view changes"
        );
        assert!(changes.iter().all(|change| change.vote.body.view == view), "all for {view}");
        let known: Vec<&ViewChangePayload> = changes.iter().map(|change| &change.payload).collect();
        let anchor = known.iter().filter_map(|known| known.anchor.as_ref()).map(CommitCertificate::ballot);
        let anchor = anchor.max_by_key(|anchor| anchor.height).copied();
        // In the order of heights and then views, so that the certificate of the highest view wins.
        let prepared: BTreeMap<(Height, View), &PreparedCertificate> = known
            .iter()
            .flat_map(|known| &known.prepared)
            .map(|certificate| ((certificate.header().height, certificate.view()), certificate))
            .collect();
        let best: BTreeMap<Height, &PreparedCertificate> =
            prepared.into_iter().map(|((height, _), certificate)| (height, certificate)).collect();
        let mut parent = anchor.map_or(root.block, |anchor| anchor.block);
        let mut expected = Vec::new();
        for height in anchor.map_or(root.height.0, |anchor| anchor.height.0) + 1.. {
            let Some(certificate) = best.get(&Height(height)) else { break };
            if certificate.header().parent != parent {
                break;
            }
            parent = certificate.header().hash();
            expected.push((Height(height), certificate.header().hash()));
        }
        let proposed: Vec<_> =
            message.pre_prepares.iter().map(|vote| (vote.body.0.height, vote.body.0.block)).collect();
        assert_eq!(proposed, expected, "R20: the selection of {view}");
        assert!(message.pre_prepares.iter().all(|vote| vote.body.0.view == view), "all in {view}");
    }

    /// R4: a member makes one statement for each kind, view and height.
    fn states_once(&mut self, node: &Node, kind: Kind, view: View, height: Height, what: &[u8]) {
        let first = self.statements.entry((node.me, kind, view, height)).or_insert_with(|| what.to_vec());
        assert_eq!(first, what, "R4: member {} contradicts itself: {kind:?} {view} {height}", node.me);
    }

    /// Checks a message that a correct node sends: its own statements in it must have a durable
    /// record (R13a).
    pub(crate) fn sends(&mut self, node: &Node, message: &Message) {
        match message {
            Message::PrePrepare(proposal) if proposal.vote.signer == node.me => {
                self.votes(node, Kind::PrePrepare, &proposal.vote.body.0);
            }
            Message::Prepare(vote) => {
                assert_eq!(vote.signer, node.me, "R2: a replica relays no votes");
                self.votes(node, Kind::Prepare, &vote.body.0);
            }
            Message::Commit(vote) => {
                assert_eq!(vote.signer, node.me, "R2: a replica relays no votes");
                self.commits.insert((vote.signer, vote.body.0, vote.signature));
                self.votes(node, Kind::Commit, &vote.body.0);
                Oracle::commits_in_order(node, &vote.body.0);
            }
            Message::ViewChange(change) => {
                assert_eq!(change.vote.signer, node.me, "R2: a replica relays no VIEW-CHANGEs");
                let body = change.vote.body;
                self.states_once(node, Kind::ViewChange, body.view, Height(0), body.content.as_bytes());
                let written = node.journal.iter().position(
                    |record| matches!(record, Record::ViewChange(known) if known.message() == change),
                );
                let written = written.expect("R13: the VIEW-CHANGE has no durable record");
                Oracle::carries_all(node, written, &change.payload);
            }
            Message::NewView(new_view) if new_view.vote.signer == node.me => {
                let body = new_view.vote.body;
                self.states_once(node, Kind::NewView, body.view, Height(0), body.content.as_bytes());
                let written = node
                    .journal
                    .iter()
                    .any(|record| matches!(record, Record::NewView(known) if known.message() == new_view));
                assert!(written, "R13: the NEW-VIEW has no durable record");
                for vote in &new_view.pre_prepares {
                    self.votes(node, Kind::PrePrepare, &vote.body.0);
                }
            }
            Message::Checkpoint(vote) => {
                self.sends_checkpoint(node, vote);
            }
            Message::Evidence(evidence) => {
                let culprit = evidence.culprit();
                assert!(
                    self.byzantine.contains(&culprit),
                    "R22: member {culprit}, which is correct, is accused"
                );
            }
            Message::PrePrepare(_) | Message::NewView(_) | Message::Status(_) | Message::Seen(_) => {}
        }
    }

    fn sends_checkpoint(&mut self, node: &Node, vote: &Signed<Checkpoint>) {
        let body = vote.body;
        assert_eq!(vote.signer, node.me, "R2: a replica relays no CHECKPOINTs");
        self.is_in_epoch(body.height, "a CHECKPOINT");
        let what = [body.block.as_bytes().as_slice(), body.state_root.as_bytes()].concat();
        self.states_once(node, Kind::Checkpoint, View(0), body.height, &what);
        assert!(node.durable() >= body.height, "R23: the ledger is durable first");
        let written =
            node.journal.iter().any(|record| matches!(record, Record::Checkpoint(known) if **known == *vote));
        assert!(written, "R13: the CHECKPOINT has no durable record");
        let same = *self.states.entry(body.height).or_insert(body);
        assert_eq!(same, body, "R23: one state at a height");
    }

    /// R4, R13: a replica votes once, and after the records on which the vote depends are written.
    /// All its votes at a height in a view are for one block, so it never crosses them (R22a).
    fn votes(&mut self, node: &Node, kind: Kind, ballot: &Ballot) {
        self.is_in_epoch(ballot.height, "a vote");
        self.states_once(node, kind, ballot.view, ballot.height, ballot.block.as_bytes());
        for other in [Kind::PrePrepare, Kind::Prepare, Kind::Commit] {
            let block = self.statements.get(&(node.me, other, ballot.view, ballot.height));
            let same = block.is_none_or(|block| block == ballot.block.as_bytes());
            assert!(same, "R4: member {} crosses {kind:?} and {other:?} of {ballot:?}", node.me);
        }
        let durable = node.journal.iter().any(|record| match (kind, record) {
            (Kind::PrePrepare | Kind::Prepare, Record::Accepted(proposal)) => proposal.ballot() == ballot,
            (Kind::PrePrepare, Record::NewView(new_view)) => {
                new_view.message().pre_prepares.iter().any(|vote| vote.body.0 == *ballot)
            }
            (Kind::Commit, Record::Prepared(certificate)) => certificate.ballot() == *ballot,
            _ => false,
        });
        assert!(durable, "R13: member {} sends a vote before its record is durable: {ballot:?}", node.me);
        let entered = ballot.view == View(0)
            || node
                .journal
                .iter()
                .any(|record| matches!(record, Record::NewView(new_view) if new_view.view() == ballot.view));
        assert!(entered, "R13: member {} votes in a view it did not enter: {ballot:?}", node.me);
    }

    /// R19a: a VIEW-CHANGE carries the prepared certificate of every block above its anchor.
    fn carries_all(node: &Node, written: usize, payload: &ViewChangePayload) {
        let mut best: BTreeMap<Height, &PreparedCertificate> = BTreeMap::new();
        let mut anchor = Height(0);
        for record in &node.journal[..written] {
            match record {
                Record::Prepared(certificate) => {
                    let known = best.entry(certificate.header().height).or_insert(certificate);
                    if known.view() < certificate.view() {
                        *known = certificate;
                    }
                }
                Record::Finalised(certificate) => anchor = anchor.max(certificate.ballot().height),
                _ => {}
            }
        }
        let root = node.config().context.root.height;
        assert!(payload.anchor_height(root) >= anchor, "R19: member {} omits its committed anchor", node.me);
        best.retain(|height, _| *height > payload.anchor_height(root));
        let carried: Vec<&PreparedCertificate> = payload.prepared.iter().collect();
        assert_eq!(
            carried,
            best.into_values().collect::<Vec<_>>(),
            "R19: member {} omits a prepared certificate",
            node.me
        );
    }

    /// R10: a COMMIT needs a parent that is final here, or for which the replica sent COMMIT in the
    /// same view. That COMMIT counts from its record on.
    fn commits_in_order(node: &Node, ballot: &Ballot) {
        // A replica resends a vote of a left view while the height is open. It may have dropped the
        // body since then, so the parent is not known here.
        let Some(skeleton) = node.bodies.get(&ballot.block) else { return };
        let parent = skeleton.header().parent;
        let below = ballot.height.previous().expect("no replica commits to the genesis");
        let below_it = usize::try_from(below.0).expect("a short chain");
        let is_final = node.chain.get(below_it).is_some_and(|header| header.hash() == parent);
        let parent_ballot = Ballot { height: below, block: parent, ..*ballot };
        let parent_is_prepared = || {
            node.journal.iter().any(|record| match record {
                Record::Prepared(certificate) => certificate.ballot() == parent_ballot,
                _ => false,
            })
        };
        assert!(is_final || parent_is_prepared(), "R10: member {} commits out of order: {ballot:?}", node.me);
    }

    /// Forgets the records of a member that starts from old files: later records are missing, which
    /// is not its fault.
    pub(crate) fn forget_records(&mut self, member: ReplicaId) {
        self.read.remove(&member);
        self.views.remove(&member);
        self.checked_lengths.remove(&member);
    }

    /// Every COMMIT that any member has sent.
    pub(crate) fn commits(&self) -> impl Iterator<Item = &(ReplicaId, Ballot, Signature)> {
        self.commits.iter()
    }

    /// Notes a message of a Byzantine member. Certificates may contain its COMMITs.
    pub(crate) fn injected(&mut self, message: &Message) {
        self.byzantine.extend(match message {
            Message::PrePrepare(proposal) => Some(proposal.vote.signer),
            Message::Prepare(vote) => Some(vote.signer),
            Message::Commit(vote) => Some(vote.signer),
            Message::ViewChange(change) => Some(change.vote.signer),
            Message::NewView(new_view) => Some(new_view.vote.signer),
            Message::Checkpoint(vote) => Some(vote.signer),
            Message::Evidence(evidence) => Some(evidence.culprit()),
            Message::Status(status) => status.superseded.as_ref().map(|vote| vote.signer),
            Message::Seen(_) => None,
        });
        match message {
            Message::Commit(vote) => {
                self.commits.insert((vote.signer, vote.body.0, vote.signature));
            }
            Message::ViewChange(change) => self.claimed(&change.payload),
            Message::NewView(new_view) => {
                new_view.view_changes.iter().for_each(|change| self.claimed(&change.payload));
            }
            _ => {}
        }
    }

    fn claimed(&mut self, payload: &ViewChangePayload) {
        if let Some(anchor) = &payload.anchor {
            for (signer, signature) in anchor.votes().signers().iter().zip(anchor.votes().signatures()) {
                self.commits.insert((signer, *anchor.ballot(), *signature));
            }
        }
    }

    /// R8: a certificate has exactly ⌈2n / 3⌉ signers, and each of them sent this COMMIT.
    pub(crate) fn certified(&mut self, node: &Node, finalised: &Finalised) {
        let (ballot, votes) = (finalised.certificate.ballot(), finalised.certificate.votes());
        self.is_in_epoch(ballot.height, "a certificate");
        assert_eq!(votes.signers().count(), self.quorum(), "R1: exactly a quorum");
        for (signer, signature) in votes.signers().iter().zip(votes.signatures()) {
            // If the node crashes now, its own COMMIT may reach others in the certificate alone.
            let vote = (signer, *ballot, *signature);
            if signer == node.me {
                self.commits.insert(vote);
            }
            assert!(self.commits.contains(&vote), "member {signer} sent no COMMIT for {ballot:?}");
        }
    }

    /// Agreement of the durable chains: no two nodes have different final blocks at one height, and
    /// every block extends the one below.
    pub(crate) fn agrees(&mut self, node: &Node) {
        let before = self.checked_lengths.insert(node.me, node.chain.len()).unwrap_or(1);
        for pair in node.chain[before.min(node.chain.len()) - 1..].windows(2) {
            assert_eq!(pair[1].parent, pair[0].hash(), "a chain");
            assert_eq!(pair[1].height, pair[0].height.next(), "without a gap");
            let hash = pair[1].hash();
            let agreed = *self.finals.entry(pair[1].height).or_insert(hash);
            assert_eq!(agreed, hash, "AGREEMENT broken at height {} by member {}", pair[1].height, node.me);
        }
    }
}
