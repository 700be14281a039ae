//! Every member keeps its statements consistent in all its lives: one statement per subject, no
//! vote in a view that it has left, COMMITs in height order, complete payloads when it leaves. And
//! everything that it sent is in its files when it starts again.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Ballot, BlockHash, CommitCertificate, Hash, Header, Height, ReplicaId, View, encode};
use quorate_pbft::{Message, NewViewMessage, Overview, Phase};

use crate::occasions::knobs::Knobs;
use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

/// The kind of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    PrePrepare,
    Prepare,
    Commit,
    ViewChange,
    NewView,
    Checkpoint,
}

impl Kind {
    fn is_vote(self) -> bool {
        self <= Kind::Commit
    }
}

/// The subject of a statement: kind, view and height.
type Place = (Kind, View, Height);

/// All statements that correct members ever signed, and the parents of blocks.
#[derive(Debug, Default)]
pub struct Votes {
    /// Signed and journaled, whether sent or not: a crash may happen in between.
    given: BTreeMap<(ReplicaId, Place), Hash>,
    sent: BTreeSet<(ReplicaId, Place)>,
    /// The member has left all views below this one.
    floors: BTreeMap<ReplicaId, View>,
    /// The view, and whether it has begun.
    views: BTreeMap<ReplicaId, (View, bool)>,
    parents: BTreeMap<BlockHash, BlockHash>,
    /// Views for which a member may have left in a group whose sync failed.
    unheard: BTreeMap<ReplicaId, View>,
}

const ONE_WORD: &str = "no two statements about one subject";
const PROMISE: &str = "no vote in a view that was left";
const MONOTONE: &str = "views only increase";
const IN_ORDER: &str = "COMMIT in height order";
const PREPARED: &str = "COMMIT only for blocks that a quorum accepted";
const CERTIFIED: &str = "certificates contain only signed statements";
const REMEMBERED: &str = "sent statements are durable";
const OPEN: &str = "VIEW-CHANGEs are complete";

fn of_ballot(kind: Kind, ballot: &Ballot) -> (Place, Hash) {
    ((kind, ballot.view, ballot.height), ballot.block.into_hash())
}

trait IntoHash {
    fn into_hash(self) -> Hash;
}

impl IntoHash for BlockHash {
    fn into_hash(self) -> Hash {
        Hash::from_bytes(*self.as_bytes())
    }
}

/// The statements of a member in a message.
fn statements(member: ReplicaId, message: &Message) -> Vec<(Place, Hash)> {
    match message {
        Message::PrePrepare(proposal) if proposal.vote.signer == member => {
            vec![of_ballot(Kind::PrePrepare, &proposal.vote.body.0)]
        }
        Message::Prepare(vote) if vote.signer == member => vec![of_ballot(Kind::Prepare, &vote.body.0)],
        Message::Commit(vote) if vote.signer == member => vec![of_ballot(Kind::Commit, &vote.body.0)],
        Message::ViewChange(change) if change.vote.signer == member => {
            vec![((Kind::ViewChange, change.vote.body.view, Height(0)), change.vote.body.content)]
        }
        Message::NewView(new_view) if new_view.vote.signer == member => {
            let body = new_view.vote.body;
            let again = new_view.pre_prepares.iter().map(|vote| of_ballot(Kind::PrePrepare, &vote.body.0));
            again.chain([((Kind::NewView, body.view, Height(0)), body.content)]).collect()
        }
        Message::Checkpoint(vote) if vote.signer == member => {
            let body = encode(&vote.body);
            let hash = quorate_ledger::tagged_hash(quorate_ledger::Domain::State, &[&body]);
            vec![((Kind::Checkpoint, View(0), vote.body.height), hash)]
        }
        _ => Vec::new(),
    }
}

impl Votes {
    /// A member sends a message: its headers show the parents of blocks.
    pub fn learn(&mut self, message: &Message) {
        let mut learn = |header: &Header| _ = self.parents.insert(header.hash(), header.parent);
        match message {
            Message::PrePrepare(proposal) => learn(&proposal.header),
            Message::ViewChange(change) => {
                change.payload.prepared.iter().for_each(|certificate| learn(certificate.header()));
            }
            Message::NewView(new_view) => {
                for change in &new_view.view_changes {
                    change.payload.prepared.iter().for_each(|certificate| learn(certificate.header()));
                }
            }
            _ => {}
        }
    }

    /// A correct member has signed a message and journaled it. It has committed up to `tip`.
    ///
    /// # Errors
    /// The message contradicts an earlier statement, or breaks a rule.
    pub fn given(&mut self, member: ReplicaId, message: &Message, tip: Height) -> Check {
        self.learn(message);
        let floor = self.floors.get(&member).copied().unwrap_or(View(0));
        for (place, hash) in statements(member, message) {
            let (kind, view, height) = place;
            if let Some(first) = self.given.get(&(member, place)) {
                require(*first == hash, ONE_WORD, || {
                    format!(
                        "member {member} signs {kind:?} of {first} and of {hash}, height {height}, view {view}"
                    )
                })?;
                continue;
            }
            let late = (kind.is_vote() || kind == Kind::ViewChange) && view < floor;
            require(!late, PROMISE, || {
                format!(
                    "member {member} signs {kind:?} at height {height} in view {view}, but it left for {floor}"
                )
            })?;
            self.given.insert((member, place), hash);
            if let Message::ViewChange(change) = message {
                // Signed before a failed sync that no other member noticed, and sent only now.
                if self.unheard.get(&member) != Some(&view) {
                    self.hides_nothing(member, change, tip)?;
                }
                self.floors.insert(member, view);
            }
        }
        Ok(())
    }

    /// Whether this message contains a statement that the member has never signed before.
    pub fn is_new(&self, member: ReplicaId, message: &Message) -> bool {
        statements(member, message).iter().any(|(place, _)| !self.given.contains_key(&(member, *place)))
    }

    /// Number of correct members that accepted a block.
    fn acceptors(&self, ballot: &Ballot, faulty: &BTreeSet<ReplicaId>, knobs: &Knobs) -> usize {
        let Ballot { view, height, block, .. } = *ballot;
        let accepted = |replica: &ReplicaId| {
            let signed = |kind| self.given.get(&(*replica, (kind, view, height))) == Some(&block.into_hash());
            signed(Kind::Prepare) || signed(Kind::PrePrepare)
        };
        let members = (0..u16::try_from(knobs.members).expect("few")).map(ReplicaId);
        members.filter(|replica| !faulty.contains(replica)).filter(accepted).count()
    }

    /// No member commits to a block unless a quorum has accepted it, faulty members included.
    ///
    /// # Errors
    /// Too few members have accepted it.
    pub fn is_prepared(
        &self,
        member: ReplicaId,
        message: &Message,
        faulty: &BTreeSet<ReplicaId>,
        knobs: &Knobs,
    ) -> Check {
        let Message::Commit(vote) = message else { return Ok(()) };
        let Ballot { view, height, .. } = vote.body.0;
        if vote.signer != member {
            return Ok(());
        }
        let correct = self.acceptors(&vote.body.0, faulty, knobs);
        require(correct + faulty.len() >= knobs.quorum(), PREPARED, || {
            format!(
                "member {member} commits to height {height} in view {view}, accepted by {correct} correct members"
            )
        })
    }

    /// A certificate consists of COMMITs that were signed.
    ///
    /// # Errors
    /// A correct member in it has signed none.
    pub fn is_certified(&self, certificate: &CommitCertificate, faulty: &BTreeSet<ReplicaId>) -> Check {
        let Ballot { view, height, block, .. } = *certificate.ballot();
        let forged = certificate.votes().signers().iter().find(|signer| {
            let signed = self.given.get(&(*signer, (Kind::Commit, view, height)));
            !faulty.contains(signer) && signed != Some(&block.into_hash())
        });
        require(forged.is_none(), CERTIFIED, || {
            format!(
                "a certificate for height {height} in view {view} contains a COMMIT that {forged:?} never signed"
            )
        })
    }

    /// A member starts with a certificate from its journal or its ledger. Its own COMMIT in the
    /// certificate may come from a failed call, but it is in the files: from now on it counts as
    /// signed.
    ///
    /// # Errors
    /// The member had signed another one.
    pub fn found(&mut self, member: ReplicaId, certificate: &CommitCertificate) -> Check {
        if !certificate.votes().signers().contains(member) {
            return Ok(());
        }
        let (place, hash) = of_ballot(Kind::Commit, certificate.ballot());
        let first = *self.given.entry((member, place)).or_insert(hash);
        require(first == hash, ONE_WORD, || {
            format!("member {member} signed {place:?} of {first}, and starts with a certificate for {hash}")
        })
    }

    /// A NEW-VIEW consists of VIEW-CHANGEs that were signed.
    ///
    /// # Errors
    /// A correct member in it has signed none, or another one.
    pub fn is_wanted(&self, new_view: &NewViewMessage, faulty: &BTreeSet<ReplicaId>, knobs: &Knobs) -> Check {
        let (primary, opens) = (new_view.vote.signer, new_view.vote.body);
        require(u64::from(primary.0) == opens.view.0 % knobs.members as u64, CERTIFIED, || {
            format!("view {} is begun by {primary}, which is not its primary", opens.view)
        })?;
        let signed = self.given.get(&(primary, (Kind::NewView, opens.view, Height(0))));
        require(faulty.contains(&primary) || signed == Some(&opens.content), CERTIFIED, || {
            format!("view {} begins with a NEW-VIEW that {primary} never signed", opens.view)
        })?;
        for change in &new_view.view_changes {
            let (signer, body) = (change.vote.signer, change.vote.body);
            require(body.view == opens.view, CERTIFIED, || {
                format!("view {} begins with a VIEW-CHANGE for view {}", opens.view, body.view)
            })?;
            if let Some(anchor) = &change.payload.anchor {
                self.is_certified(anchor, faulty)?;
            }
            for certificate in &change.payload.prepared {
                let ballot = certificate.ballot();
                let correct = self.acceptors(&ballot, faulty, knobs);
                require(correct + faulty.len() >= knobs.quorum(), CERTIFIED, || {
                    format!(
                        "a VIEW-CHANGE of {signer} contains {ballot:?}, accepted by {correct} correct members"
                    )
                })?;
            }
            let signed = self.given.get(&(signer, (Kind::ViewChange, body.view, Height(0))));
            // A crash may leave a VIEW-CHANGE journaled but not sent: its sender's own NEW-VIEW
            // then sends it.
            let own = signer == new_view.vote.signer && signed.is_none();
            let given = faulty.contains(&signer)
                || (own || signed == Some(&body.content)) && change.payload.hash() == body.content;
            require(given, CERTIFIED, || {
                format!("view {} begins with a VIEW-CHANGE that {signer} never signed", body.view)
            })?;
        }
        Ok(())
    }

    /// A VIEW-CHANGE contains everything to which its sender has committed.
    fn hides_nothing(
        &self,
        member: ReplicaId,
        change: &quorate_pbft::ViewChangeMessage,
        tip: Height,
    ) -> Check {
        let payload = &change.payload;
        let anchor = payload.anchor.as_ref().map_or(Height(0), |anchor| anchor.ballot().height);
        require(anchor >= tip, OPEN, || {
            format!("member {member} has committed height {tip}, and leaves with anchor {anchor}")
        })?;
        let first = (member, (Kind::Commit, View(0), Height(0)));
        let last = (member, (Kind::Commit, change.vote.body.view, Height(0)));
        for ((_, (_, view, height)), block) in self.given.range(first..last) {
            if *height <= anchor {
                continue;
            }
            let shown = payload.prepared.iter().any(|certificate| {
                let ballot = certificate.ballot();
                let same = ballot.block.into_hash() == *block;
                ballot.height == *height && (ballot.view > *view || ballot.view == *view && same)
            });
            require(shown, OPEN, || {
                format!(
                    "member {member} committed to {block} at height {height} in view {view} and does not \
                     show it when it leaves for view {}",
                    change.vote.body.view
                )
            })?;
        }
        Ok(())
    }

    /// A correct member whose last block is at `tip` sends a message.
    ///
    /// # Errors
    /// It is not journaled yet, or is out of order.
    pub fn sent(&mut self, member: ReplicaId, message: &Message, tip: Height, chain: &Chain) -> Check {
        for (place, hash) in statements(member, message) {
            require(self.given.get(&(member, place)) == Some(&hash), REMEMBERED, || {
                format!("member {member} sends {place:?} {hash}, which is not journaled")
            })?;
            self.sent.insert((member, place));
        }
        match message {
            Message::Commit(vote) if vote.signer == member => self.in_order(member, &vote.body.0, tip, chain),
            _ => Ok(()),
        }
    }

    fn in_order(&self, member: ReplicaId, ballot: &Ballot, tip: Height, chain: &Chain) -> Check {
        let Ballot { view, height, block, .. } = *ballot;
        let below = Height(height.0 - 1);
        let parent = self.parents.get(&block).map(|parent| parent.into_hash());
        let vote_below = self.given.get(&(member, (Kind::Commit, view, below))).copied();
        let link = chain.at(below).filter(|_| below <= tip);
        let committed_below = link.map(|link| link.hash.into_hash());
        let ordered = parent.is_some() && (vote_below == parent || committed_below == parent);
        require(ordered, IN_ORDER, || {
            format!("member {member} sent COMMIT for height {height} before it committed to the parent")
        })
    }

    /// Checks the state of a member.
    ///
    /// # Errors
    /// It went back to an earlier state.
    pub fn stands(&mut self, member: ReplicaId, stands: &Overview) -> Check {
        let now = (stands.view, stands.active);
        let before = self.views.insert(member, now).unwrap_or((View(0), false));
        require(now >= before, MONOTONE, || format!("member {member} goes from {before:?} to {now:?}"))?;
        if stands.active {
            let floor = self.floors.entry(member).or_default();
            *floor = stands.view.max(*floor);
        }
        Ok(())
    }

    /// A member starts again in this state: its slots must contain everything that it signed above
    /// `top`, the highest block that it ever had.
    ///
    /// # Errors
    /// A vote that it would not repeat.
    pub fn reopened(&mut self, member: ReplicaId, stands: &Overview, top: Height) -> Check {
        self.stands(member, stands)?;
        self.recall(member, stands);
        let floor = self.floors.get(&member).copied().unwrap_or(View(0));
        require(stands.view >= floor, REMEMBERED, || {
            format!("member {member} left for view {floor} and starts again in view {}", stands.view)
        })?;
        if !stands.active {
            self.unheard.insert(member, stands.view);
            return Ok(());
        }
        let first = (member, (Kind::PrePrepare, View(0), Height(0)));
        let last = (member, (Kind::Commit, View(u64::MAX), Height(u64::MAX)));
        for (_, place) in self.sent.range(first..=last) {
            let (kind, view, height) = *place;
            if view != stands.view || height <= top {
                continue;
            }
            let block = self.given[&(member, *place)];
            let slot = stands.slots.iter().find(|slot| slot.height == height && slot.view == view);
            let remembered = slot.is_some_and(|slot| {
                slot.block.map(IntoHash::into_hash) == Some(block)
                    && match kind {
                        Kind::PrePrepare => true,
                        Kind::Prepare => {
                            matches!(slot.phase, Phase::PrePrepared | Phase::Prepared)
                                && slot.prepares.contains(&member)
                        }
                        _ => slot.phase == Phase::Prepared && slot.commits.contains(&member),
                    }
            });
            // A block with which the view began is put into its slot with the first step, not
            // before.
            let again = kind == Kind::PrePrepare && slot.is_none();
            require(remembered || again, REMEMBERED, || {
                format!(
                    "member {member} sent {kind:?} for {block} at height {height}, view {view}, and after a \
                     restart at height {} its slot is {slot:?}",
                    stands.committed
                )
            })?;
        }
        Ok(())
    }

    /// Records the votes in the member's slots at its start. They may be from a group whose sync
    /// failed, but they are in the files.
    fn recall(&mut self, member: ReplicaId, stands: &Overview) {
        for slot in &stands.slots {
            let Some(block) = slot.block.map(IntoHash::into_hash) else { continue };
            let voted = [
                (Kind::PrePrepare, slot.view == stands.view && stands.primary == member),
                (Kind::Prepare, slot.prepares.contains(&member)),
                (Kind::Commit, slot.commits.contains(&member)),
            ];
            for (kind, _) in voted.into_iter().filter(|(_, voted)| *voted) {
                self.given.entry((member, (kind, slot.view, slot.height))).or_insert(block);
            }
        }
    }

    /// Whether its files contain everything that a member ever signed, as far as slots and views
    /// show it.
    pub fn is_remembered(&mut self, member: ReplicaId, stands: &Overview, top: Height) -> bool {
        let before = self.views.get(&member).copied().unwrap_or((View(0), false));
        (stands.view, stands.active) >= before && self.reopened(member, stands, top).is_ok()
    }

    /// A member is faulty from now on.
    pub fn mark_faulty(&mut self, member: ReplicaId) {
        self.views.remove(&member);
    }
}
