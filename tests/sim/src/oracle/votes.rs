//! Every member keeps its word, in all its lives: one statement about each subject, no vote in a view that it
//! left, COMMITs in height order, nothing hidden when it leaves; and whatever it said is remembered when it
//! starts again.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Ballot, BlockHash, CommitCertificate, Hash, Header, Height, ReplicaId, View, encode};
use quorate_pbft::{Message, NewViewMessage, Overview, Phase};

use crate::knobs::Knobs;
use crate::oracle::chain::Chain;
use crate::oracle::{Check, require};

/// What a statement is.
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

/// Kind, view and height: what one statement is about.
type Place = (Kind, View, Height);

/// All statements that correct members ever made, and the parents of blocks.
#[derive(Debug, Default)]
pub struct Votes {
    /// Made and remembered, sent or not: a crash may have come in between.
    given: BTreeMap<(ReplicaId, Place), Hash>,
    sent: BTreeSet<(ReplicaId, Place)>,
    /// All views below are left.
    floors: BTreeMap<ReplicaId, View>,
    /// View, and whether it has begun.
    views: BTreeMap<ReplicaId, (View, bool)>,
    parents: BTreeMap<BlockHash, BlockHash>,
    /// Views for which a member may have left in a group whose sync failed.
    unheard: BTreeMap<ReplicaId, View>,
}

const ONE_WORD: &str = "no two statements about one thing";
const PROMISE: &str = "no vote in a view that was left";
const MONOTONE: &str = "views only grow";
const IN_ORDER: &str = "COMMIT in height order";
const PREPARED: &str = "COMMIT for what a quorum accepted";
const CERTIFIED: &str = "certificates are made of what was said";
const REMEMBERED: &str = "what was said is remembered";
const OPEN: &str = "whoever leaves hides nothing";

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
    /// Anybody sends a message: the headers in it say which block is whose parent.
    pub fn learn(&mut self, message: &Message) {
        let mut learn = |header: &Header| _ = self.parents.insert(header.hash(), header.parent);
        match message {
            Message::PrePrepare(proposal) => learn(&proposal.header),
            Message::ViewChange(change) => {
                change.knowledge.prepared.iter().for_each(|certificate| learn(certificate.header()));
            }
            Message::NewView(new_view) => {
                for change in &new_view.view_changes {
                    change.knowledge.prepared.iter().for_each(|certificate| learn(certificate.header()));
                }
            }
            _ => {}
        }
    }

    /// A correct member has made a message and remembers what it promises. It knows `tip` to be committed.
    ///
    /// # Errors
    /// It contradicts what it said before, or breaks a promise.
    pub fn given(&mut self, member: ReplicaId, message: &Message, tip: Height) -> Check {
        self.learn(message);
        let floor = self.floors.get(&member).copied().unwrap_or(View(0));
        for (place, hash) in statements(member, message) {
            let (kind, view, height) = place;
            if let Some(first) = self.given.get(&(member, place)) {
                require(*first == hash, ONE_WORD, || {
                    format!(
                        "member {member} says {kind:?} of {first} and {hash}, height {height}, view {view}"
                    )
                })?;
                continue;
            }
            let late = (kind.is_vote() || kind == Kind::ViewChange) && view < floor;
            require(!late, PROMISE, || {
                format!(
                    "member {member} says {kind:?} at height {height} in view {view}, it left for {floor}"
                )
            })?;
            self.given.insert((member, place), hash);
            if let Message::ViewChange(change) = message {
                // Made before a failure that nobody heard of, and said only now.
                if self.unheard.get(&member) != Some(&view) {
                    self.hides_nothing(member, change, tip)?;
                }
                self.floors.insert(member, view);
            }
        }
        Ok(())
    }

    /// Whether a member says something in this message that it never said before.
    pub fn is_new(&self, member: ReplicaId, message: &Message) -> bool {
        statements(member, message).iter().any(|(place, _)| !self.given.contains_key(&(member, *place)))
    }

    /// Correct members that accepted a block.
    fn acceptors(&self, ballot: &Ballot, faulty: &BTreeSet<ReplicaId>, knobs: &Knobs) -> usize {
        let Ballot { view, height, block, .. } = *ballot;
        let accepted = |replica: &ReplicaId| {
            let said = |kind| self.given.get(&(*replica, (kind, view, height))) == Some(&block.into_hash());
            said(Kind::Prepare) || said(Kind::PrePrepare)
        };
        let members = (0..u16::try_from(knobs.members).expect("few")).map(ReplicaId);
        members.filter(|replica| !faulty.contains(replica)).filter(accepted).count()
    }

    /// Nobody commits to a block unless a quorum has accepted it, the faulty included.
    ///
    /// # Errors
    /// Too few have.
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

    /// A certificate is made of COMMITs that were given.
    ///
    /// # Errors
    /// A correct member in it has given none.
    pub fn is_certified(&self, certificate: &CommitCertificate, faulty: &BTreeSet<ReplicaId>) -> Check {
        let Ballot { view, height, block, .. } = *certificate.ballot();
        let forged = certificate.votes().signers().iter().find(|signer| {
            let said = self.given.get(&(*signer, (Kind::Commit, view, height)));
            !faulty.contains(signer) && said != Some(&block.into_hash())
        });
        require(forged.is_none(), CERTIFIED, || {
            format!(
                "a certificate for height {height} in view {view} has a COMMIT that {forged:?} never gave"
            )
        })
    }

    /// A member starts with a certificate that its journal or its ledger held. Its own COMMIT in there may come from a
    /// call that failed, but not without trace: from now on it was given.
    ///
    /// # Errors
    /// It had given another one.
    pub fn found(&mut self, member: ReplicaId, certificate: &CommitCertificate) -> Check {
        if !certificate.votes().signers().contains(member) {
            return Ok(());
        }
        let (place, hash) = of_ballot(Kind::Commit, certificate.ballot());
        let first = *self.given.entry((member, place)).or_insert(hash);
        require(first == hash, ONE_WORD, || {
            format!("member {member} said {place:?} of {first} and starts with a certificate for {hash}")
        })
    }

    /// A new view is made of VIEW-CHANGEs that were given.
    ///
    /// # Errors
    /// A correct member in it has given none, or another.
    pub fn is_wanted(&self, new_view: &NewViewMessage, faulty: &BTreeSet<ReplicaId>, knobs: &Knobs) -> Check {
        let (primary, opens) = (new_view.vote.signer, new_view.vote.body);
        require(u64::from(primary.0) == opens.view.0 % knobs.members as u64, CERTIFIED, || {
            format!("view {} is begun by {primary}", opens.view)
        })?;
        let said = self.given.get(&(primary, (Kind::NewView, opens.view, Height(0))));
        require(faulty.contains(&primary) || said == Some(&opens.content), CERTIFIED, || {
            format!("view {} begins in a way that {primary} never gave", opens.view)
        })?;
        for change in &new_view.view_changes {
            let (signer, body) = (change.vote.signer, change.vote.body);
            require(body.view == opens.view, CERTIFIED, || {
                format!("view {} begins with a VIEW-CHANGE for view {}", opens.view, body.view)
            })?;
            if let Some(base) = &change.knowledge.base {
                self.is_certified(base, faulty)?;
            }
            for certificate in &change.knowledge.prepared {
                let ballot = certificate.ballot();
                let correct = self.acceptors(&ballot, faulty, knobs);
                require(correct + faulty.len() >= knobs.quorum(), CERTIFIED, || {
                    format!(
                        "a VIEW-CHANGE of {signer} shows {ballot:?}, accepted by {correct} correct members"
                    )
                })?;
            }
            let said = self.given.get(&(signer, (Kind::ViewChange, body.view, Height(0))));
            // A crash may leave a VIEW-CHANGE written down and unsaid: in its sender's own NEW-VIEW it is said.
            let own = signer == new_view.vote.signer && said.is_none();
            let given = faulty.contains(&signer)
                || (own || said == Some(&body.content)) && change.knowledge.hash() == body.content;
            require(given, CERTIFIED, || {
                format!("view {} begins with a VIEW-CHANGE that {signer} never gave", body.view)
            })?;
        }
        Ok(())
    }

    /// A VIEW-CHANGE knows all that its sender has committed to.
    fn hides_nothing(
        &self,
        member: ReplicaId,
        change: &quorate_pbft::ViewChangeMessage,
        tip: Height,
    ) -> Check {
        let knowledge = &change.knowledge;
        let base = knowledge.base.as_ref().map_or(Height(0), |base| base.ballot().height);
        require(base >= tip, OPEN, || format!("member {member} knows height {tip} and leaves with {base}"))?;
        let first = (member, (Kind::Commit, View(0), Height(0)));
        let last = (member, (Kind::Commit, change.vote.body.view, Height(0)));
        for ((_, (_, view, height)), block) in self.given.range(first..last) {
            if *height <= base {
                continue;
            }
            let shown = knowledge.prepared.iter().any(|certificate| {
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
    /// It was not remembered first, or comes out of order.
    pub fn sent(&mut self, member: ReplicaId, message: &Message, tip: Height, chain: &Chain) -> Check {
        for (place, hash) in statements(member, message) {
            require(self.given.get(&(member, place)) == Some(&hash), REMEMBERED, || {
                format!("member {member} sends {place:?} {hash}, which it did not remember")
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
            format!("member {member} sent COMMIT for height {height} before its parent was committed to")
        })
    }

    /// A member stands here now.
    ///
    /// # Errors
    /// It has gone back.
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

    /// A member starts again and stands here: what it said above `top`, the highest block it ever had, must be
    /// in its slots.
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
            // A block that the view began with is put in its place with the first step, not before.
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

    /// Votes that are in its slots when it starts, perhaps written by a group whose sync failed, but not without
    /// trace.
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

    /// Whether its files remember all that a member ever said, as far as slots and views show it.
    pub fn is_remembered(&mut self, member: ReplicaId, stands: &Overview, top: Height) -> bool {
        let before = self.views.get(&member).copied().unwrap_or((View(0), false));
        (stands.view, stands.active) >= before && self.reopened(member, stands, top).is_ok()
    }

    /// A member is faulty from now on.
    pub fn give_up(&mut self, member: ReplicaId) {
        self.views.remove(&member);
    }
}
