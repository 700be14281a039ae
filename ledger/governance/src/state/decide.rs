//! Decisions: from a quorum of approvals to a scheduled change.

use std::sync::Arc;

use quorate_ledger::PublicKey;
use quorate_ledger::mutant::{Mutant, is};

use super::State;
use super::block::Context;
use super::entry::{Proposal, Scheduled};
use crate::config::{Config, Effect};
use crate::limits::{MAX_SCHEDULED_DECISIONS, MAX_SCHEDULED_PER_MEMBER};
use crate::operations::{Change, ProposalId};
use crate::outcome::Reason;

impl State {
    /// Decides a proposal with approvals of a quorum of the committee in force, and keeps any other
    /// one open.
    ///
    /// All approvals are of members in force: those of removed members and replaced keys lapse when
    /// an epoch begins.
    pub(super) fn decide_or_keep(
        &mut self,
        context: &Context,
        id: ProposalId,
        proposal: Proposal,
    ) -> Result<(), Reason> {
        if proposal.approvals.len() < context.config.committee().quorum() {
            self.proposals.insert(id, proposal);
            return Ok(());
        }
        if proposal.changes.iter().any(Change::starts_epoch) {
            self.check_one_at_a_time()?;
        }
        self.check_ready(context, &proposal.changes)?;
        self.check_changes(&proposal.changes)?;
        let decisions = self.scheduled.rows().values();
        let decisions = decisions.filter(|change| matches!(change.effect, Effect::Decision { .. })).count();
        if decisions >= MAX_SCHEDULED_DECISIONS as usize {
            return Err(Reason::ScheduleFull);
        }
        self.schedule(Effect::Decision { proposal: id, changes: proposal.changes })?;
        self.proposals.remove(&id);
        Ok(())
    }

    /// Checks changes against the configuration after everything that is scheduled. A proposal with
    /// this error can be decided only after something else has changed.
    pub(super) fn check_changes(&self, changes: &[Change]) -> Result<Config, Reason> {
        let next = self.latest_config().with_changes(changes)?;
        let used = self.latest_config().members.keys();
        let fresh: Vec<PublicKey> = next.members.keys().difference(&used).copied().collect();
        self.check_history(&fresh)?;
        Ok(next)
    }

    /// Keys of earlier epochs may be known to others, so they are not accepted again.
    pub(super) fn check_history(&self, keys: &[PublicKey]) -> Result<(), Reason> {
        let retired = keys.iter().any(|key| self.retired.get(key).is_some());
        if retired && !is(Mutant::RetiredKeysAccepted) { Err(Reason::KeyRetired) } else { Ok(()) }
    }

    /// At most one epoch change may be scheduled, so that the committees of two consecutive epochs
    /// differ by one checked change.
    pub(super) fn check_one_at_a_time(&self) -> Result<(), Reason> {
        if self.next_epoch_start().is_some() && !is(Mutant::EpochChangesOverlap) {
            return Err(Reason::OneAtATime);
        }
        Ok(())
    }

    /// A member that joins must have caught up. Otherwise it would count in the quorum without
    /// voting, and the next member that is down would stop the network.
    fn check_ready(&self, context: &Context, changes: &[Change]) -> Result<(), Reason> {
        let mut candidates = changes.iter().filter_map(Change::candidate);
        let is_ready = |key: PublicKey| self.ready.get(&key).is_some_and(|height| context.is_recent(*height));
        if candidates.all(is_ready) || is(Mutant::ReadyUnchecked) { Ok(()) } else { Err(Reason::NotReady) }
    }

    /// Schedules a change of clients, if the member has few enough of them scheduled.
    pub(super) fn schedule_client_change(&mut self, effect: Effect) -> Result<(), Reason> {
        let member = effect.client_change_of();
        let changes = self.scheduled.rows().values();
        let own = changes.filter(|change| change.effect.client_change_of() == member).count();
        if own >= MAX_SCHEDULED_PER_MEMBER as usize {
            return Err(Reason::ScheduleFull);
        }
        self.schedule(effect)
    }

    /// Schedules an effect for the height at which changes of this block take effect.
    pub(super) fn schedule(&mut self, effect: Effect) -> Result<(), Reason> {
        let from = self.head.effective;
        let next = Arc::new(self.latest_config().with(&effect, from)?);
        let last = self.configs.back_mut().expect("there is always a configuration in force");
        if last.0 == from {
            last.1 = next;
        } else {
            self.configs.push_back((from, next));
        }
        self.scheduled.insert(self.head.next_number, Scheduled { effective_from: from, effect });
        self.head.next_number = self.head.next_number.saturating_add(1);
        Ok(())
    }
}
