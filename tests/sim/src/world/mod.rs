//! The whole network at one moment, and its events.

mod begin;
mod create;

pub mod agenda;
pub mod trace;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use quorate_engine::Effects;
use quorate_genesis::Genesis;
use quorate_ledger::{Epoch, ReplicaId, SignatureCache};

use crate::byzantine::{Collusion, Outgoing};
use crate::clients::operators::Operators;
use crate::clients::orders::{Attempt, Orders};
use crate::members::Member;
use crate::network::SimNet;
use crate::network::packet::Packet;
use crate::network::requests::Asker;
use crate::occasions::knobs::Knobs;
use crate::oracle::Check;
use crate::oracle::answers::Answers;
use crate::oracle::chain::Chain;
use crate::oracle::coverage::Coverage;
use crate::oracle::epochs::{EpochRules, Epochs};
use crate::oracle::watch::Watch;
use crate::random::Random;
use crate::runs::script::Filter;
use crate::world::agenda::Agenda;
use crate::world::trace::Trace;

/// All kinds of events. Events of a life that is over have no effect.
#[derive(Debug)]
pub(crate) enum Occurrence {
    /// A member has work.
    Wake { member: ReplicaId, life: u64 },
    /// A member's records are durable, and it sends its messages.
    Send { member: ReplicaId, life: u64, effects: Box<Effects> },
    /// A message arrives.
    Arrive { to: ReplicaId, life: u64, packet: Packet },
    /// A request arrives.
    Asked { by: Asker, to: ReplicaId, bytes: Vec<u8> },
    /// A response arrives, or the wait for it is over.
    Answered { to: Asker, from: ReplicaId, bytes: Option<Vec<u8>> },
    /// A connection is established, if both run.
    Connect(ReplicaId, ReplicaId),
    /// A member is started.
    Revive(ReplicaId),
    /// A new member starts for the first time.
    Join(ReplicaId),
    /// A partition ends.
    Unblock,
    /// A random fault occurs.
    Fault,
    /// A Byzantine member sends a message, delayed or by itself.
    SendAsAdversary { member: ReplicaId, life: u64, outgoing: Box<Outgoing> },
    /// A Byzantine member may send messages by itself.
    AdversaryTick(ReplicaId),
    /// A member is stopped for this duration.
    Away(ReplicaId, Duration),
    /// A member is cut off from most others, and later another one.
    Cut,
    /// The oracle checks how long transactions have waited.
    Look,
    /// A client creates a new transaction.
    Submit,
    /// Operators of members decide whether to change the network.
    Govern,
    /// A client sends a transaction to a member.
    Attempt(Attempt),
}

/// A network under simulation.
#[derive(Debug)]
pub struct World {
    pub(crate) knobs: Knobs,
    pub(crate) genesis: Genesis,
    pub(crate) random: Random,
    pub(crate) agenda: Agenda<Occurrence>,
    pub(crate) net: SimNet,
    pub(crate) members: Vec<Member>,
    pub(crate) orders: Orders,
    pub(crate) signatures: Rc<SignatureCache>,
    pub(crate) chain: Chain,
    /// What the rules remember of each epoch.
    pub(crate) epochs: Epochs,
    pub(crate) operators: Operators,
    pub(crate) watch: Watch,
    pub(crate) collusion: Collusion,
    pub(crate) filter: Option<Filter>,
    pub(crate) answers: Answers,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    /// Members that stay dead for ever.
    pub(crate) buried: Vec<ReplicaId>,
    /// Members that can not send, or can not receive, for ever.
    pub(crate) severed: Vec<ReplicaId>,
    /// The faulty half is over.
    pub(crate) healed: bool,
    /// Members that are healed then; the rules about progress apply only to them.
    pub(crate) core: BTreeSet<ReplicaId>,
    /// Members that were not healed may still send messages.
    pub(crate) outsiders: bool,
    /// No work is left.
    pub(crate) done: bool,
    /// The last work was finished long ago.
    pub(crate) resting: bool,
    /// Views that core members left.
    pub(crate) departures: u64,
    /// Messages that were sent, except STATUS.
    pub(crate) work: u64,
}

impl World {
    /// Members that may do anything in an epoch: Byzantine ones, those that never run, those that got
    /// old disks in this epoch or a later one. By their index in the committee.
    pub(crate) fn faulty_in(&self, epoch: Epoch) -> BTreeSet<ReplicaId> {
        let faulty = self.members.iter().filter(|member| !member.is_correct_in(epoch));
        let rules = self.epochs.of(epoch);
        faulty.filter_map(|member| rules.seat(member.identity)).collect()
    }

    /// The index of a machine's member in the committee of an epoch.
    pub(crate) fn seat_in(&self, epoch: Epoch, replica: ReplicaId) -> Option<ReplicaId> {
        self.epochs.of(epoch).seat(self.members[replica.index()].identity)
    }

    /// The index of a running machine's member in the committee of its epoch.
    pub(crate) fn seat_of(&self, replica: ReplicaId) -> ReplicaId {
        self.seat_in(self.epoch_of(replica), replica).expect("only members run")
    }

    /// The epoch of a machine.
    pub(crate) fn epoch_of(&self, replica: ReplicaId) -> Epoch {
        self.members[replica.index()].epoch
    }

    /// The rules of the epoch of a machine.
    pub(crate) fn rules_of(&self, replica: ReplicaId) -> &EpochRules {
        self.epochs.of(self.epoch_of(replica))
    }

    /// Whether all rules apply to a machine.
    pub(crate) fn is_correct(&self, replica: ReplicaId) -> bool {
        self.members[replica.index()].is_correct()
    }

    /// Whether a member is Byzantine.
    pub(crate) fn lies(&self, identity: ReplicaId) -> bool {
        self.members.iter().any(|member| member.identity == identity && member.adversary.is_some())
    }

    /// The machines of a member.
    pub(crate) fn machines_of(&self, identity: ReplicaId) -> Vec<ReplicaId> {
        let machines = self.members.iter().filter(|member| member.identity == identity);
        machines.map(|member| member.replica).collect()
    }

    pub(crate) fn member(&mut self, replica: ReplicaId) -> &mut Member {
        &mut self.members[replica.index()]
    }

    /// The members that run.
    pub(crate) fn up(&self) -> Vec<ReplicaId> {
        self.members.iter().filter(|member| member.is_up()).map(|member| member.replica).collect()
    }

    /// Runs until a point in time.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn run_until(&mut self, end: Duration) -> Check {
        while let Some(occurrence) = self.agenda.next_until(end) {
            self.happen(occurrence)?;
        }
        Ok(())
    }

    fn happen(&mut self, occurrence: Occurrence) -> Check {
        match occurrence {
            Occurrence::Wake { member, life } => self.wake(member, life),
            Occurrence::Send { member, life, effects } => {
                if self.lives(member, life) {
                    self.send_effects(member, *effects)
                } else {
                    Ok(())
                }
            }
            Occurrence::Arrive { to, life, packet } => self.arrive(to, life, &packet),
            Occurrence::Asked { by, to, bytes } => self.asked(by, to, &bytes),
            Occurrence::Answered { to, from, bytes } => self.answered(to, from, bytes),
            Occurrence::Connect(a, b) => {
                self.connect(a, b);
                Ok(())
            }
            Occurrence::Revive(member) => self.revive(member),
            Occurrence::Join(member) => {
                self.join(member);
                Ok(())
            }
            Occurrence::Unblock => {
                self.note(format_args!("partition ends"));
                self.net.unblock_all();
                Ok(())
            }
            Occurrence::Fault => {
                self.fault();
                Ok(())
            }
            Occurrence::SendAsAdversary { member, life, outgoing } => {
                if self.lives(member, life) {
                    self.on_send(member, *outgoing);
                }
                Ok(())
            }
            Occurrence::AdversaryTick(member) => {
                self.adversary_tick(member);
                Ok(())
            }
            Occurrence::Away(member, duration) => {
                self.go_away(member, duration);
                Ok(())
            }
            Occurrence::Cut => {
                self.cut_one();
                Ok(())
            }
            Occurrence::Look => self.look(),
            Occurrence::Submit => self.submit_new(),
            Occurrence::Govern => {
                self.govern();
                Ok(())
            }
            Occurrence::Attempt(attempt) => self.attempt(attempt),
        }
    }

    pub(crate) fn note(&mut self, line: std::fmt::Arguments<'_>) {
        self.trace.note(self.agenda.now(), line);
    }

    pub(crate) fn lives(&self, replica: ReplicaId, life: u64) -> bool {
        let member = &self.members[replica.index()];
        member.is_up() && member.life == life
    }
}
