//! The whole network at one moment, and its events.

pub mod agenda;
pub mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{
    CheckedRange, Effects, EngineConfig, Event, Fatal, FetchId, FetchRequest, FetchResponse, Fetched,
    MemberMessage, WireLimits,
};
use quorate_genesis::Genesis;
use quorate_ledger::{ReplicaId, SignatureCache, Timestamp, decode};
use quorate_pbft::{Checked, Screen};
use quorate_store::{ForgetfulDisk, Ledger};

use crate::byzantine::{Adversary, Collusion, Lie, Outgoing};
use crate::clients::orders::{Attempt, Orders};
use crate::members::{Member, Slot, WallClock};
use crate::network::SimNet;
use crate::network::packet::{Opened, Packet, verify_all};
use crate::occasions::knobs::{Fault, Knobs};
use crate::oracle::accepted::Accepted;
use crate::oracle::answers::Answers;
use crate::oracle::asked::Asked;
use crate::oracle::chain::Chain;
use crate::oracle::checkpoints::Checkpoints;
use crate::oracle::coverage::Coverage;
use crate::oracle::locks::Locks;
use crate::oracle::received::Heard;
use crate::oracle::votes::Votes;
use crate::oracle::waits::Waits;
use crate::oracle::watch::Watch;
use crate::oracle::{Check, Violation, require};
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
    Asked { by: ReplicaId, life: u64, fetch: FetchId, to: ReplicaId, bytes: Vec<u8> },
    /// A response arrives, or the wait for it is over.
    Answered { to: ReplicaId, life: u64, fetch: FetchId, from: ReplicaId, bytes: Option<Vec<u8>> },
    /// A connection is established, if both run.
    Connect(ReplicaId, ReplicaId),
    /// A member is started.
    Revive(ReplicaId),
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
    /// A client sends a transaction to a member.
    Attempt(Attempt),
}

/// Consecutive wake-ups without effect, before a member counts as spinning.
const IDLE_WAKES_MAX: u32 = 3;

/// A network under simulation.
#[derive(Debug)]
pub struct World {
    pub(crate) knobs: Knobs,
    /// With the memo if members share one.
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
    pub(crate) accepted: Accepted,
    pub(crate) heard: Heard,
    pub(crate) asked: Asked,
    pub(crate) waits: Waits,
    pub(crate) locks: Locks,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) watch: Watch,
    pub(crate) collusion: Collusion,
    pub(crate) filter: Option<Filter>,
    pub(crate) answers: Answers,
    pub(crate) trace: Trace,
    pub(crate) coverage: Coverage,
    /// Members that stay dead for ever.
    pub(crate) buried: Vec<ReplicaId>,
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
    /// A network with new files, at the start of its run.
    pub fn new(seed: u64, knobs: Knobs, mut random: Random, shown: bool) -> Self {
        let (genesis, keys) = knobs.network(seed).into_parts();
        let start = Timestamp(genesis.time().0 + 1_000_000);
        let ledger = empty_ledger(&genesis);
        let copy = || ForgetfulDisk::with_contents(ledger.clone());
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
                Member::new(&genesis, copy(), replica, key, clock)
            })
            .collect();
        let mut adversary_keys = BTreeMap::new();
        for (index, fault) in &knobs.faulty {
            match fault {
                Fault::Silent => members[*index].slot = Slot::Silent,
                Fault::Lies(_) => {
                    adversary_keys.insert(members[*index].replica, members[*index].key.clone());
                }
            }
        }
        let mut collusion = Collusion::new(&genesis, adversary_keys, random.split());
        for (index, fault) in &knobs.faulty {
            let Fault::Lies(lies) = fault else { continue };
            let replica = members[*index].replica;
            members[*index].adversary = Some(Adversary::new(replica, lies, &mut collusion));
            if lies.contains(&Lie::Twin) {
                let twin = twin_of(&mut members, *index, &genesis, copy(), &mut random);
                members
                    .push(Member { adversary: Some(Adversary::new(replica, lies, &mut collusion)), ..twin });
            }
        }
        World {
            limits: WireLimits::of(
                &genesis.block_limits(),
                genesis.consensus().window,
                genesis.committee().size(),
            ),
            net: SimNet::new(&knobs, random.split()),
            orders: Orders::new(&genesis, &knobs, start, random.split()),
            signatures: SignatureCache::new(genesis.chain_id(), 100_000),
            chain: Chain::new(&genesis, &knobs),
            votes: Votes::default(),
            accepted: Accepted::default(),
            heard: Heard::new(&knobs),
            asked: Asked::new(&knobs),
            waits: Waits::default(),
            locks: Locks::new(knobs.quorum()),
            checkpoints: Checkpoints::default(),
            watch: Watch::default(),
            collusion,
            filter: None,
            answers: Answers::default(),
            trace: Trace::new(shown),
            coverage: Coverage::default(),
            agenda: Agenda::default(),
            buried: Vec::new(),
            healed: false,
            core: BTreeSet::new(),
            outsiders: false,
            done: false,
            resting: false,
            departures: 0,
            work: 0,
            knobs,
            genesis,
            random,
            members,
        }
    }

    /// Members that may do anything: Byzantine ones, those that never run, those with old disks.
    pub(crate) fn faulty(&self) -> BTreeSet<ReplicaId> {
        self.members.iter().filter(|member| !member.is_correct()).map(|member| member.identity).collect()
    }

    /// Whether all rules apply to a machine.
    pub(crate) fn is_correct(&self, replica: ReplicaId) -> bool {
        self.members[replica.index()].is_correct()
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

    /// Passes an event to a running member.
    pub(crate) fn give(&mut self, to: ReplicaId, event: Event) {
        let Some(process) = self.members[to.index()].process() else { return };
        self.heard.arrives(to, &event);
        if let Event::PeerDown(peer) = event {
            self.asked.lost(to, peer);
        }
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
            return Ok(()); // another wake-up came before this one
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

    /// Handles the effects of a member: they are final for itself, but no other member has received
    /// its messages.
    fn handled(&mut self, replica: ReplicaId, effects: Effects) -> Check {
        if self.is_correct(replica) {
            self.examine(replica, &effects)?;
        } else {
            self.check_agreement_only(replica, &effects)?;
        }
        let now = self.agenda.now();
        let slowness = self.members[replica.index()].slowness;
        let pause = self.random.millis(0, self.knobs.disk_ms) * slowness;
        let member = self.member(replica);
        let life = member.life;
        member.process().expect("it just handled something").busy_until = now + pause;
        self.agenda.after(pause, Occurrence::Send { member: replica, life, effects: Box::new(effects) });
        Ok(())
    }

    /// A member had to stop. That is correct if its disk failed, or if a second instance signs with
    /// its key.
    fn stopped(&mut self, replica: ReplicaId, fatal: &Fatal) -> Check {
        self.note(format_args!("{replica} stops: {fatal}"));
        let correct = self.is_correct(replica);
        let planned = match fatal {
            Fatal::Storage(_) => self.member(replica).doomed,
            Fatal::SecondInstance => !correct,
            Fatal::Fork { .. } => false,
        };
        require(planned, "members stop only for a reason", || format!("member {replica}: {fatal}"))?;
        match fatal {
            Fatal::SecondInstance => self.coverage.saw("a second instance detected"),
            _ => self.coverage.saw("a sync that failed"),
        }
        self.crash_machine(replica);
        self.revive_later(replica);
        Ok(())
    }

    fn arrive(&mut self, to: ReplicaId, life: u64, packet: &Packet) -> Check {
        if !self.lives(to, life) {
            return Ok(());
        }
        let from = packet.from();
        let opened = match packet.open(&self.genesis, &self.signatures) {
            Ok(opened) => opened,
            Err(reason) => {
                let lie = self.collusion.keys.knows(from);
                require(lie, "messages of correct members are valid", || {
                    format!("from {from} to {to}: {reason}")
                })?;
                self.coverage.saw("a Byzantine member's message refused");
                return Ok(());
            }
        };
        self.note(format_args!(
            "{from} > {to} {} bytes, first {:?}",
            packet.bytes().len(),
            packet.bytes()[1]
        ));
        if self.members[to.index()].adversary.is_some() {
            self.adversary_receives(to, from, packet);
        }
        match opened {
            Opened::Consensus(message) => {
                if !self.screened(to, from, packet.bytes()) {
                    return Ok(());
                }
                if let Checked::NewView(new_view) = &message
                    && self.is_correct(to)
                {
                    self.new_view_arrives(new_view)?;
                }
                self.give(to, Event::Consensus { from, message });
            }
            Opened::Transactions(mut transactions) => {
                transactions.retain(|transaction| self.accepts_transaction(to, transaction));
                self.give(to, Event::Gossiped(transactions));
            }
        }
        Ok(())
    }

    /// Whether a node would check this message (R25). The message is checked before, because that
    /// costs less here than to decide first.
    fn screened(&mut self, to: ReplicaId, from: ReplicaId, bytes: &[u8]) -> bool {
        let Ok(MemberMessage::Consensus(mut message)) = MemberMessage::from_bytes(bytes) else { return true };
        let now = self.agenda.now();
        let member = self.member(to);
        let identity = member.identity;
        let Some(process) = member.process() else { return true };
        let moment = process.moment(now);
        let position = process.engine.position();
        let config = EngineConfig::of(&self.genesis).pbft;
        let process = self.member(to).process().expect("it was just there");
        let screen = process.screens.entry(from).or_insert_with(|| Screen::new(config, identity, from));
        let admitted = screen.admit(moment, &position, &mut message).is_ok();
        if !admitted {
            self.coverage.saw("a message not worth checking");
        }
        admitted
    }

    fn asked(&mut self, by: ReplicaId, life: u64, fetch: FetchId, to: ReplicaId, bytes: &[u8]) -> Check {
        let ask: FetchRequest = decode(bytes).map_err(|error| failed(by, &error))?;
        self.note(format_args!("{by} asks {to} {} bytes", bytes.len()));
        let Some(process) = self.member(to).process() else { return Ok(()) };
        let ticket = process.ticket();
        process.requests.insert(ticket, (by, life, fetch, ask.clone()));
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
        self.asked.answered(to, fetch);
        let answer = match bytes {
            Some(bytes) => self.read_answer(from, &bytes)?,
            None => None,
        };
        if answer.is_some() {
            self.asked.helped(to, fetch);
        }
        self.give(to, Event::Answered { fetch, from, answer });
        Ok(())
    }

    fn read_answer(&mut self, from: ReplicaId, bytes: &[u8]) -> Result<Option<Fetched>, Violation> {
        let answer = self.check_answer(from, bytes);
        if answer.is_err() && self.collusion.keys.knows(from) {
            self.coverage.saw("a Byzantine member's response refused");
            return Ok(None);
        }
        answer
    }

    fn check_answer(&mut self, from: ReplicaId, bytes: &[u8]) -> Result<Option<Fetched>, Violation> {
        match decode::<FetchResponse>(bytes).map_err(|error| failed(from, &error))? {
            FetchResponse::Nothing => Ok(None),
            FetchResponse::Transactions(transactions) => {
                let verified = verify_all(transactions, &self.signatures);
                let verified = verified.map_err(|reason| Violation { rule: ANSWERS, what: reason })?;
                self.coverage.saw("a proposal completed by a response");
                Ok(Some(Fetched::Transactions(verified)))
            }
            FetchResponse::Ids(ids) => Ok(Some(Fetched::Ids(ids))),
            FetchResponse::Blocks(run) => {
                let checked =
                    CheckedRange::check(run, self.genesis.anchor(), self.genesis.consensus().window);
                Ok(Some(Fetched::Range(checked.map_err(|error| failed(from, &error))?)))
            }
        }
    }
}

/// The disk content of a ledger with only the genesis.
fn empty_ledger(genesis: &Genesis) -> Vec<u8> {
    let disk = ForgetfulDisk::new();
    Ledger::create_on(disk.attach(), genesis.header()).expect("the disk is empty");
    disk.contents()
}

/// A second machine for a member: every other machine connects to one of the two, or to both.
fn twin_of(
    members: &mut [Member],
    index: usize,
    genesis: &Genesis,
    ledger: ForgetfulDisk,
    random: &mut Random,
) -> Member {
    let (identity, key, clock) = {
        let first = &members[index];
        (first.identity, first.key.clone(), first.clock)
    };
    let number = u16::try_from(members.len()).expect("a committee and its twins are few");
    let mut twin = Member::new(genesis, ledger, identity, key, clock);
    twin.replica = ReplicaId(number);
    let (mut mine, mut others) = (BTreeSet::new(), BTreeSet::new());
    // Twins of others are created later. Machines that are not listed connect to both.
    for machine in (0..u16::try_from(MACHINES_MAX).expect("few")).map(ReplicaId) {
        let both = machine.index() >= genesis.committee().size() || random.permille(200);
        let to_first = random.permille(500);
        if both || to_first {
            mine.insert(machine);
        }
        if both || !to_first {
            others.insert(machine);
        }
    }
    (mine, others) = (&mine - &BTreeSet::from([twin.replica]), &others - &BTreeSet::from([identity]));
    members[index].peers = Some(mine);
    twin.peers = Some(others);
    twin
}

/// Machines of the largest committee, each with a twin.
const MACHINES_MAX: usize = 64;

const ANSWERS: &str = "responses of correct members are valid";

/// Something failed that cannot fail between correct members.
pub(crate) fn failed(replica: ReplicaId, reason: &impl std::fmt::Display) -> Violation {
    Violation { rule: ANSWERS, what: format!("member {replica}: {reason}") }
}
