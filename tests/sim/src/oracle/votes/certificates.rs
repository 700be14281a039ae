//! Certificates and NEW-VIEWs contain only statements that their signers made.

use std::collections::BTreeSet;

use quorate_ledger::{Ballot, CommitCertificate, Height, ReplicaId};
use quorate_pbft::{Message, NewViewMessage};

use crate::occasions::knobs::Knobs;
use crate::oracle::votes::Votes;
use crate::oracle::votes::statements::{IntoHash, Kind};
use crate::oracle::{Check, require};

const PREPARED: &str = "COMMIT only for blocks that a quorum accepted";
const CERTIFIED: &str = "certificates contain only signed statements";

impl Votes {
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

    /// A NEW-VIEW consists of VIEW-CHANGEs that were signed.
    ///
    /// # Errors
    /// A correct member in it has signed none, or another one.
    pub fn is_wanted(&self, new_view: &NewViewMessage, faulty: &BTreeSet<ReplicaId>, knobs: &Knobs) -> Check {
        let (primary, opens) = (new_view.vote.signer, new_view.vote.body);
        require(primary == knobs.primary(opens.view), CERTIFIED, || {
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
}
