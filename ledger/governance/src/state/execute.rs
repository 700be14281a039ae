//! The operations.

use std::collections::BTreeSet;

use quorate_ledger::{BlockHash, Height, PublicKey, Signature};

use super::State;
use super::block::{Context, GovernanceTransaction};
use super::entry::Proposal;
use crate::config::{Effect, Member};
use crate::limits::{MAX_OPEN_PROPOSALS, MAX_OPEN_PROPOSALS_PER_MEMBER, RENEWAL_INTERVALS};
use crate::operations::{Change, Operation, Possession, ProposalId};
use crate::outcome::Reason;

impl State {
    /// Executes one operation. After an error, the state is unchanged.
    pub(super) fn execute(
        &mut self,
        context: &Context,
        transaction: &GovernanceTransaction<'_>,
        operation: Operation,
    ) -> Result<(), Reason> {
        let sender = transaction.sender;
        if let Operation::Ready { height, block } = operation {
            return self.on_ready(context, sender, height, block);
        }
        let config = &context.config;
        let member = config.member_of(&sender).ok_or(Reason::NotAMember)?;
        let name = member.name.clone();
        match operation {
            Operation::Propose { changes } => self.on_propose(context, member, transaction.id, changes),
            Operation::Approve(id) => self.on_approve(context, sender, id),
            Operation::Withdraw(id) => self.on_withdraw(member, id),
            Operation::Rotate { consensus_key, possession } => {
                self.on_rotate(context, member, consensus_key, &possession)
            }
            Operation::Renew => self.start_epoch_for(context, member, Effect::Renewal { member: name }),
            Operation::AddClient { name: client, key } => {
                self.schedule_client_change(Effect::AddClient { member: name, name: client, key })
            }
            Operation::RemoveClient { key } => {
                self.schedule_client_change(Effect::RemoveClient { member: name, key })
            }
            Operation::SetClientQuota { key, quota } => {
                self.schedule_client_change(Effect::SetClientQuota { member: name, key, quota })
            }
            Operation::Ready { .. } => Err(Reason::NotACandidate),
        }
    }

    fn on_ready(
        &mut self,
        context: &Context,
        sender: PublicKey,
        height: Height,
        block: BlockHash,
    ) -> Result<(), Reason> {
        if !context.config.candidates().contains(&sender) {
            return Err(Reason::NotACandidate);
        }
        if height < context.height && !context.is_recent(height) {
            return Err(Reason::ReadyTooOld);
        }
        if context.ancestors.get(&height) != Some(&block) {
            return Err(Reason::ReadyUnknownBlock);
        }
        // An old READY that arrives late must not replace a newer one.
        if self.ready.get(&sender).is_none_or(|newest| *newest < height) {
            self.ready.insert(sender, height);
        }
        Ok(())
    }

    fn on_propose(
        &mut self,
        context: &Context,
        proposer: &Member,
        id: ProposalId,
        changes: Vec<Change>,
    ) -> Result<(), Reason> {
        if self.proposals.get(&id).is_some() {
            return Err(Reason::Repeated);
        }
        let rows = self.proposals.rows();
        let own = rows.values().filter(|proposal| proposal.proposer == proposer.name).count();
        if own >= MAX_OPEN_PROPOSALS_PER_MEMBER as usize || rows.len() >= MAX_OPEN_PROPOSALS as usize {
            return Err(Reason::TooManyProposals);
        }
        // Tell the proposer now, not the last member that approves.
        self.check_changes(&changes)?;
        let lifetime = context.config.settings.governance.proposal_lifetime;
        let proposal = Proposal {
            proposer: proposer.name.clone(),
            changes,
            height: context.height,
            expires: context.height.plus(lifetime),
            approvals: BTreeSet::from([proposer.governance_key]),
        };
        match self.decide_or_keep(context, id, proposal.clone()) {
            // One member may be a quorum, but a candidate becomes ready only while its proposal is
            // open. The member approves again then.
            Err(Reason::NotReady) => {
                self.proposals.insert(id, proposal);
                Ok(())
            }
            result => result,
        }
    }

    /// An approval that would decide an invalid proposal fails: the proposal stays open without it.
    /// Approving again decides as soon as the obstacle is gone.
    fn on_approve(&mut self, context: &Context, sender: PublicKey, id: ProposalId) -> Result<(), Reason> {
        let mut proposal = self.proposals.get(&id).ok_or(Reason::UnknownProposal)?.clone();
        proposal.approvals.insert(sender);
        self.decide_or_keep(context, id, proposal)
    }

    /// The proposer closes its proposal, although others have approved it: otherwise they could keep it
    /// open, and it counts as one of those that the proposer may have.
    fn on_withdraw(&mut self, member: &Member, id: ProposalId) -> Result<(), Reason> {
        let (sender, name) = (member.governance_key, &member.name);
        let mut proposal = self.proposals.get(&id).ok_or(Reason::UnknownProposal)?.clone();
        if proposal.proposer == *name {
            self.proposals.remove(&id);
            return Ok(());
        }
        if !proposal.approvals.remove(&sender) {
            return Ok(());
        }
        if proposal.approvals.is_empty() {
            self.proposals.remove(&id);
        } else {
            self.proposals.insert(id, proposal);
        }
        Ok(())
    }

    fn on_rotate(
        &mut self,
        context: &Context,
        member: &Member,
        consensus_key: PublicKey,
        possession: &Signature,
    ) -> Result<(), Reason> {
        self.check_history(&[consensus_key])?;
        let statement = Possession {
            governance_key: member.governance_key,
            consensus_key,
            epoch: context.config.epoch(),
        };
        // Verify last of all cheap checks: it costs as much as the signature of the transaction.
        self.check_renewal(context, member)?;
        if !statement.is_proven_by(&self.head.chain, possession) {
            return Err(Reason::BadPossession);
        }
        let effect = Effect::Rotation { member: member.name.clone(), consensus_key };
        self.start_epoch_for(context, member, effect)
    }

    /// Schedules a rotation or renewal.
    fn start_epoch_for(&mut self, context: &Context, member: &Member, effect: Effect) -> Result<(), Reason> {
        self.check_renewal(context, member)?;
        self.schedule(effect)?;
        self.renewals.insert(member.name.clone(), context.height);
        Ok(())
    }

    fn check_renewal(&self, context: &Context, member: &Member) -> Result<(), Reason> {
        self.check_one_at_a_time()?;
        let pause = context.config.intervals(RENEWAL_INTERVALS);
        let last = self.renewals.get(&member.name);
        if last.is_some_and(|last| context.height < last.plus(pause)) {
            return Err(Reason::TooSoon);
        }
        Ok(())
    }
}
