//! Planned events of a run that was shaped for a scenario.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::members::Crash;
use crate::occasions::Scenario;
use crate::oracle::Check;
use crate::oracle::waits::Waiting;
use crate::runs::script::Filter;
use crate::world::{Occurrence, World};

/// How often the oracle checks waiting transactions. Of what arrives in between, it does not know
/// the order.
const LOOK: Duration = Duration::from_millis(20);

impl World {
    /// Plans the events of the run's scenario.
    pub(crate) fn begin_scenario(&mut self) {
        if let Some((member, from, to)) = self.knobs.away {
            let member = self.members[member].replica;
            self.agenda.at(from, Occurrence::Away(member, to.saturating_sub(from)));
        }
        if self.knobs.cut_gap_ms > 0 {
            self.agenda.after(Duration::from_millis(300), Occurrence::Cut);
        }
        if self.knobs.votes_lost > 0 {
            let (mut random, lost) = (self.random.split(), self.knobs.votes_lost);
            self.filter = Some(Filter::of(move |_, _, message| {
                !(matches!(message, Message::Prepare(_) | Message::Commit(_)) && random.permille(lost))
            }));
        }
        if self.knobs.scenario == Some(Scenario::Censorship) {
            self.agenda.after(LOOK, Occurrence::Look);
        }
    }

    /// Stops a member's process, and starts it again after this time.
    pub(crate) fn go_away(&mut self, member: ReplicaId, duration: Duration) {
        if self.members[member.index()].is_up() {
            self.crash(member, Crash::Killed);
            self.agenda.after(duration, Occurrence::Revive(member));
        }
    }

    /// Cuts one member off from all others, or from so many that it reaches no quorum; with a
    /// broken connection or with messages that are not delivered; in both directions or in one.
    pub(crate) fn cut_one(&mut self) {
        if self.healed {
            return;
        }
        let gap = self.random.millis(200, self.knobs.cut_gap_ms.max(300));
        self.agenda.after(gap, Occurrence::Cut);
        self.net.unblock_all();
        let victim =
            if self.random.permille(400) { ReplicaId(0) } else { self.random.choose(&self.members).replica };
        let (breaks, deaf, mute) =
            (self.random.permille(300), self.random.permille(800), self.random.permille(500));
        self.note(format_args!("{victim} is cut off, deaf: {deaf}, mute: {mute}, breaks: {breaks}"));
        let others: Vec<ReplicaId> = self.members.iter().map(|member| member.replica).collect();
        let spared = if self.random.permille(500) { Some(*self.random.choose(&others)) } else { None };
        for other in others.into_iter().filter(|other| *other != victim && Some(*other) != spared) {
            if breaks && self.net.is_connected(victim, other) {
                self.net.disconnect(victim, other);
                self.notify_disconnected(victim, other);
                self.notify_disconnected(other, victim);
                self.agenda.after(gap / 2, Occurrence::Connect(victim, other));
            }
            if deaf || !mute {
                self.net.block(other, victim);
            }
            if mute {
                self.net.block(victim, other);
            }
        }
    }

    /// The oracle checks waiting transactions.
    pub(crate) fn look(&mut self) -> Check {
        if self.agenda.now() + LOOK < self.knobs.chaos {
            self.agenda.after(LOOK, Occurrence::Look);
        }
        let now = self.agenda.now();
        let present = self.orders.present(now);
        let correct: Vec<_> = self.members.iter().filter(|member| member.is_correct()).collect();
        let stands: Vec<_> = correct.iter().filter_map(|member| member.overview(now)).collect();
        if stands.len() < correct.len() {
            return Ok(()); // the rule needs contact with a quorum
        }
        let mut waiting = Vec::new();
        for member in correct {
            let engine = member.engine().expect("all of them are up");
            let timely = self.orders.all.iter().filter(|order| order.valid_until.0 > present);
            let held: Vec<_> = timely.filter(|order| engine.is_pending(&order.id)).collect();
            let mut of_senders = BTreeMap::<_, u64>::new();
            for order in &held {
                *of_senders.entry(order.sender).or_default() += 1;
            }
            waiting.extend(held.iter().map(|order| Waiting {
                member: member.replica,
                id: order.id,
                others: held.len() as u64 - 1,
                of_sender: of_senders[&order.sender] - 1,
            }));
        }
        let epochs: BTreeSet<_> = self.members.iter().map(|member| member.epoch).collect();
        if epochs.len() > 1 {
            return Ok(()); // a wait ends with its epoch
        }
        self.epochs.of_mut(self.epochs.newest()).waits.looked(now, &stands, waiting.into_iter())
    }
}
