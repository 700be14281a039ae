//! The whole network at one moment, and what happens to it next.

use std::time::Duration;

use quorate_engine::{Answer, Ask, CheckedRun, Effects, Event, Fatal, FetchId, Fetched, WireLimits};
use quorate_genesis::Genesis;
use quorate_ledger::{ReplicaId, SignatureCache, Timestamp, decode};
use quorate_pbft::Phase;

use crate::agenda::Agenda;
use crate::coverage::Coverage;
use crate::knobs::Knobs;
use crate::member::{Member, Slot, WallClock};
use crate::network::SimNet;
use crate::oracle::answers::Answers;
use crate::oracle::chain::Chain;
use crate::oracle::votes::Votes;
use crate::oracle::{Check, Violation, journal, require};
use crate::orders::{Attempt, Orders};
use crate::packet::{Opened, Packet, verify_all};
use crate::random::Random;
use crate::trace::Trace;

/// Everything that can happen. A life that is over takes part in nothing more.
#[derive(Debug)]
pub(crate) enum Occurrence {
    /// A member has something to do.
    Wake { member: ReplicaId, life: u64 },
    /// A member's records are durable, and it speaks.
    Speak { member: ReplicaId, life: u64, effects: Box<Effects> },
    /// A message arrives.
    Arrive { to: ReplicaId, life: u64, packet: Packet },
    /// A question arrives.
    Asked { by: ReplicaId, life: u64, fetch: FetchId, to: ReplicaId, bytes: Vec<u8> },
    /// An answer arrives, or the wait for it is over.
    Answered { to: ReplicaId, life: u64, fetch: FetchId, from: ReplicaId, bytes: Option<Vec<u8>> },
    /// A connection comes to be, if both are up.
    Connect(ReplicaId, ReplicaId),
    /// A member is started.
    Revive(ReplicaId),
    /// A partition ends.
    Unblock,
    /// Chance strikes.
    Fault,
    /// A client wants something new ordered.
    Submit,
    /// A client sends something to a member.
    Attempt(Attempt),
}

/// Wakes in a row that change nothing, before a member counts as spinning.
const IDLE_WAKES_MAX: u32 = 3;

/// A network under simulation.
#[derive(Debug)]
pub struct World {
    pub(crate) knobs: Knobs,
    pub(crate) genesis: Genesis,
    pub(crate) limits: WireLimits,
    pub(crate) random: Random,
    pub(crate) agenda: Agenda<Occurrence>,
    pub(crate) net: SimNet,
    pub(crate) members: Vec<Member>,
    pub(crate) orders: Orders,
    pub(crate) signatures: SignatureCache,
    pub(crate) chain: Chain,
    pub(crate) votes: Votes,
    pub(crate) answers: Answers,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    /// Members that stay dead for ever from now on.
    pub(crate) buried: Vec<ReplicaId>,
    /// The faulty half is over.
    pub(crate) healed: bool,
    /// Messages that were sent besides STATUS.
    pub(crate) work: u64,
}

impl World {
    /// A network with freshly made files, at the start of its run.
    pub fn new(seed: u64, knobs: Knobs, mut random: Random, shown: bool) -> Self {
        let (genesis, keys) = knobs.network(seed).into_parts();
        let start = Timestamp(genesis.time().0 + 1_000_000);
        let mut members: Vec<Member> = genesis
            .committee()
            .replicas()
            .zip(keys)
            .map(|(replica, key)| {
                let skew = random.between(0, 2 * knobs.skew_ms);
                let drift = random.between(0, 400);
                let clock = WallClock {
                    start,
                    ahead_ms: i64::try_from(skew).expect("small")
                        - i64::try_from(knobs.skew_ms).expect("small"),
                    drift_ppm: i64::try_from(drift).expect("small") - 200,
                };
                Member::new(&genesis, replica, key, clock)
            })
            .collect();
        // Until views change, the network halts without the primary of the first.
        for member in members.iter_mut().skip(1).take(knobs.silent) {
            member.slot = Slot::Silent;
        }
        World {
            limits: WireLimits::of(&genesis.block_limits(), genesis.consensus().window),
            net: SimNet::new(&knobs, random.split()),
            orders: Orders::new(&genesis, &knobs, start, random.split()),
            signatures: SignatureCache::new(genesis.chain_id(), 100_000),
            chain: Chain::new(&genesis, &knobs),
            votes: Votes::default(),
            answers: Answers::default(),
            trace: Trace::new(shown),
            coverage: Coverage::default(),
            agenda: Agenda::default(),
            buried: Vec::new(),
            healed: false,
            work: 0,
            knobs,
            genesis,
            random,
            members,
        }
    }

    pub(crate) fn member(&mut self, replica: ReplicaId) -> &mut Member {
        &mut self.members[replica.index()]
    }

    /// The members that run.
    pub(crate) fn up(&self) -> Vec<ReplicaId> {
        self.members.iter().filter(|member| member.is_up()).map(|member| member.replica).collect()
    }

    /// Lets things happen until a point in time.
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
            Occurrence::Speak { member, life, effects } => {
                if self.lives(member, life) {
                    self.speak(member, *effects)
                } else {
                    Ok(())
                }
            }
            Occurrence::Arrive { to, life, packet } => self.arrive(to, life, &packet),
            Occurrence::Asked { by, life, fetch, to, bytes } => self.asked(by, life, fetch, to, &bytes),
            Occurrence::Answered { to, life, fetch, from, bytes } => {
                self.answered(to, life, fetch, from, bytes)
            }
            Occurrence::Connect(a, b) => {
                self.connect(a, b);
                Ok(())
            }
            Occurrence::Revive(member) => self.revive(member),
            Occurrence::Unblock => {
                self.note(format_args!("partition ends"));
                self.net.unblock_all();
                Ok(())
            }
            Occurrence::Fault => {
                self.fault();
                Ok(())
            }
            Occurrence::Submit => self.submit_new(),
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

    /// Gives a running member something to handle.
    pub(crate) fn give(&mut self, to: ReplicaId, event: Event) {
        let Some(process) = self.member(to).process() else { return };
        process.inbox.push(event);
        let at = process.busy_until;
        self.plan_wake(to, at);
    }

    pub(crate) fn plan_wake(&mut self, replica: ReplicaId, at: Duration) {
        let at = at.max(self.agenda.now());
        let member = self.member(replica);
        let life = member.life;
        let Some(process) = member.process() else { return };
        if process.wake.is_none_or(|planned| at < planned) {
            process.wake = Some(at);
            self.agenda.at(at, Occurrence::Wake { member: replica, life });
        }
    }

    fn wake(&mut self, replica: ReplicaId, life: u64) -> Check {
        if !self.lives(replica, life) {
            return Ok(());
        }
        let now = self.agenda.now();
        let member = self.member(replica);
        let time = member.now(now);
        let process = member.process().expect("it lives");
        if process.wake != Some(now) {
            return Ok(()); // another wake came before this one
        }
        process.wake = None;
        if now < process.busy_until {
            let at = process.busy_until;
            self.plan_wake(replica, at);
            return Ok(());
        }
        let events = std::mem::take(&mut process.inbox);
        let idle = events.is_empty();
        match process.engine.handle(time, events) {
            Ok(effects) => {
                let again_at_once =
                    process.engine.deadline(time).is_some_and(|deadline| deadline <= time.moment);
                process.idle_wakes = if idle && again_at_once { process.idle_wakes + 1 } else { 0 };
                let spins = process.idle_wakes > IDLE_WAKES_MAX;
                require(!spins, "deadlines lie ahead", || format!("member {replica} spins"))?;
                self.handled(replica, effects)
            }
            Err(fatal) => self.stopped(replica, &fatal),
        }
    }

    /// What a member did is final for itself, but nobody has heard of it yet.
    fn handled(&mut self, replica: ReplicaId, effects: Effects) -> Check {
        let engine = self.members[replica.index()].engine().expect("it just handled something");
        let stands = engine.overview();
        let reader = engine.reader();
        journal::check(&stands, &self.knobs)?;
        for slot in &stands.pbft.slots {
            match slot.phase {
                Phase::WaitingForParent => self.coverage.saw("a proposal waits for its parent"),
                Phase::WaitingForClock => self.coverage.saw("a proposal held for the clock"),
                _ => {}
            }
        }
        if stands.in_flight > 1 {
            self.coverage.saw("several blocks in flight");
        }
        for (_, message) in &effects.messages {
            self.votes.given(replica, message);
        }
        for block in &effects.committed {
            let (height, hash) = (block.height(), block.hash());
            self.note(format_args!("{replica} commits {height} {hash}"));
            self.chain.committed(replica, block, &self.orders)?;
            self.answers.committed(block.body().ids())?;
            if block.body().ids().is_empty() {
                self.coverage.saw("an empty block for an expired transaction");
            }
            if reader.certificate(height).map_err(|error| failed(replica, &error))?.is_none() {
                self.coverage.saw("a block finalised through a descendant");
            }
        }
        let now = self.agenda.now();
        let slowness = self.members[replica.index()].slowness;
        let pause = self.random.millis(0, self.knobs.disk_ms) * slowness;
        let member = self.member(replica);
        let life = member.life;
        member.process().expect("it just handled something").busy_until = now + pause;
        self.agenda.after(pause, Occurrence::Speak { member: replica, life, effects: Box::new(effects) });
        Ok(())
    }

    /// A member had to stop. That is right if its disk failed, and wrong for every other reason.
    fn stopped(&mut self, replica: ReplicaId, fatal: &Fatal) -> Check {
        self.note(format_args!("{replica} stops: {fatal}"));
        let planned = matches!(fatal, Fatal::Storage(_)) && self.member(replica).doomed;
        require(planned, "members stop only when their disk fails", || format!("member {replica}: {fatal}"))?;
        self.coverage.saw("a sync that failed");
        self.crash_machine(replica);
        self.revive_later(replica);
        Ok(())
    }

    fn arrive(&mut self, to: ReplicaId, life: u64, packet: &Packet) -> Check {
        if !self.lives(to, life) {
            return Ok(());
        }
        let from = packet.from();
        let opened = packet.open(&self.genesis, &self.signatures).map_err(|reason| Violation {
            rule: "what correct members send is acceptable",
            what: format!("from {from} to {to}: {reason}"),
        })?;
        self.note(format_args!(
            "{from} > {to} {} bytes, first {:?}",
            packet.bytes().len(),
            packet.bytes()[1]
        ));
        self.give(
            to,
            match opened {
                Opened::Consensus(message) => Event::Consensus { from, message },
                Opened::Transactions(transactions) => Event::Gossiped(transactions),
            },
        );
        Ok(())
    }

    fn asked(&mut self, by: ReplicaId, life: u64, fetch: FetchId, to: ReplicaId, bytes: &[u8]) -> Check {
        let ask: Ask = decode(bytes).map_err(|error| failed(by, &error))?;
        self.note(format_args!("{by} asks {to} {} bytes", bytes.len()));
        let Some(process) = self.member(to).process() else { return Ok(()) };
        let ticket = process.ticket();
        process.questions.insert(ticket, (by, life, fetch, ask.clone()));
        self.give(to, Event::Asked { ticket, ask });
        Ok(())
    }

    fn answered(
        &mut self,
        to: ReplicaId,
        life: u64,
        fetch: FetchId,
        from: ReplicaId,
        bytes: Option<Vec<u8>>,
    ) -> Check {
        if !self.lives(to, life) {
            return Ok(());
        }
        self.note(format_args!("{from} answers {to} {:?} bytes", bytes.as_ref().map(Vec::len)));
        let answer = match bytes {
            Some(bytes) => self.read_answer(from, &bytes)?,
            None => None,
        };
        self.give(to, Event::Answered { fetch, from, answer });
        Ok(())
    }

    fn read_answer(&mut self, from: ReplicaId, bytes: &[u8]) -> Result<Option<Fetched>, Violation> {
        match decode::<Answer>(bytes).map_err(|error| failed(from, &error))? {
            Answer::Nothing => Ok(None),
            Answer::Transactions(transactions) => {
                let verified = verify_all(transactions, &self.signatures);
                let verified = verified.map_err(|reason| Violation { rule: ANSWERS, what: reason })?;
                self.coverage.saw("a proposal completed by an answer");
                Ok(Some(Fetched::Transactions(verified)))
            }
            Answer::Blocks(run) => {
                let checked = CheckedRun::check(run, &self.genesis.chain_id(), self.genesis.committee());
                Ok(Some(Fetched::Run(checked.map_err(|error| failed(from, &error))?)))
            }
        }
    }
}

const ANSWERS: &str = "what correct members answer is acceptable";

/// Something that cannot go wrong between correct members did.
pub(crate) fn failed(replica: ReplicaId, reason: &impl std::fmt::Display) -> Violation {
    Violation { rule: ANSWERS, what: format!("member {replica}: {reason}") }
}
