//! One member of the simulated network: its two disks, its clock, and its process while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_engine::{Ask, Engine, Event, FetchId, Overview, Ticket};
use quorate_genesis::Genesis;
use quorate_ledger::{Height, ReplicaId, SecretKey, Timestamp};
use quorate_pbft::{Moment, Now, Screen};
use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger};

use crate::byzantine::Liar;
use crate::random::Random;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process alone: what it wrote stays, synced or not.
    Killed,
    /// The machine: what was not synced is gone.
    PowerLoss,
    /// The machine, while it wrote: some sectors of what was not synced are there.
    Torn,
}

/// A wall clock that is off and does not run true.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// What true clocks show at the start of the run.
    pub start: Timestamp,
    /// Milliseconds ahead of them; behind if negative.
    pub ahead_ms: i64,
    /// Microseconds gained in a second; lost if negative.
    pub drift_ppm: i64,
}

impl WallClock {
    /// What it shows.
    pub fn read(&self, now: Duration) -> Timestamp {
        let elapsed_ms = i64::try_from(now.as_millis()).expect("a run lasts minutes");
        let off = self.ahead_ms + elapsed_ms * self.drift_ppm / 1_000_000;
        let shown = self.start.0.checked_add_signed(elapsed_ms + off).expect("clocks are off by seconds");
        Timestamp(shown)
    }
}

/// What a member is made of for one run.
#[derive(Debug)]
pub enum Slot {
    /// A correct member; it may be down.
    Correct(Option<Box<Process>>),
    /// A faulty member that never says anything. Other kinds of faulty members stand beside it.
    Silent,
}

/// One life of a correct member, from opening its files to a crash.
#[derive(Debug)]
pub struct Process {
    /// The production engine on the production store.
    pub engine: Engine,
    /// What is not worth checking of each member's messages (R25).
    pub screens: BTreeMap<ReplicaId, Screen>,
    /// What has happened and was not handled yet.
    pub inbox: Vec<Event>,
    /// Its monotonic clock started at some number of its own.
    clock_start: Duration,
    started: Duration,
    /// When it wakes up next.
    pub wake: Option<Duration>,
    /// Until when it writes a group; what happens meanwhile waits.
    pub busy_until: Duration,
    /// Wakes in a row that had nothing to handle and were to be followed by another at once.
    pub idle_wakes: u32,
    /// Whom to give which answer: asking member, its life, its question.
    pub questions: BTreeMap<Ticket, (ReplicaId, u64, FetchId, Ask)>,
    /// Submissions without an answer: number of the order.
    pub submissions: BTreeMap<Ticket, usize>,
    tickets: u64,
}

/// What is on both disks of a member.
#[derive(Debug, Clone)]
pub struct Image {
    ledger: Vec<u8>,
    journal: Vec<u8>,
}

/// One machine of a member. All but twins have one.
#[derive(Debug)]
pub struct Member {
    /// Number of the machine. The first ones are those of the members, by index in the committee.
    pub replica: ReplicaId,
    /// The member that it signs for.
    pub identity: ReplicaId,
    /// Its mouth, if it lies.
    pub liar: Option<Liar>,
    /// The machines it has to do with; all, if `None`.
    pub peers: Option<BTreeSet<ReplicaId>>,
    /// Its disks were put back to an old state, so that it may have forgotten what it promised.
    pub tainted: bool,
    /// Its disks at some earlier time.
    pub image: Option<Image>,
    /// Its ledger, but not its journal, was put back to an old state, and has not grown to this height again.
    pub behind: Option<Height>,
    /// Its key.
    pub key: SecretKey,
    /// The ledger's disk.
    pub ledger: ForgetfulDisk,
    /// The journal's disk.
    pub journal: ForgetfulDisk,
    /// Its wall clock.
    pub clock: WallClock,
    /// What it is doing.
    pub slot: Slot,
    /// Number of its present or last life. What was sent to an earlier one does not arrive.
    pub life: u64,
    /// A failure of a disk was planned, so it may stop any time.
    pub doomed: bool,
    /// It will crash at the next chance between remembering and speaking, or while speaking.
    pub crash_when_speaking: Option<Speech>,
    /// Factor on the time its disk takes.
    pub slowness: u32,
    /// Highest block that it told somebody was committed.
    pub answered: Height,
}

/// Where a crash cuts a member off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Everything is remembered, nothing is said.
    Before,
    /// Some messages are sent.
    Amid,
}

impl Member {
    /// A member with an empty journal and this ledger, of which every member gets a copy.
    ///
    /// # Panics
    /// If the journal cannot be made: these disks do not fail before they are told to.
    pub fn new(
        genesis: &Genesis,
        ledger: ForgetfulDisk,
        replica: ReplicaId,
        key: SecretKey,
        clock: WallClock,
    ) -> Self {
        let journal = ForgetfulDisk::new();
        let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: key.public() };
        Journal::create_on(journal.attach(), &identity).expect("the disk is empty");
        Member {
            replica,
            identity: replica,
            liar: None,
            peers: None,
            tainted: false,
            image: None,
            behind: None,
            key,
            ledger,
            journal,
            clock,
            slot: Slot::Correct(None),
            life: 0,
            doomed: false,
            crash_when_speaking: None,
            slowness: 1,
            answered: Height(0),
        }
    }

    /// Whether it is held to all rules.
    pub fn is_correct(&self) -> bool {
        self.liar.is_none() && !self.tainted && !matches!(self.slot, Slot::Silent)
    }

    /// Whether it has anything to do with another machine.
    pub fn knows(&self, other: ReplicaId) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.contains(&other))
    }

    /// Keeps what is on the disks.
    pub fn copy_disks(&mut self) {
        self.image = Some(Image { ledger: self.ledger.contents(), journal: self.journal.contents() });
    }

    /// Puts the kept ledger back, and the journal too if `both`. False if there is nothing to put back.
    pub fn put_back(&mut self, both: bool) -> bool {
        let Some(image) = &self.image else { return false };
        self.ledger = ForgetfulDisk::with_contents(image.ledger.clone());
        if both {
            self.journal = ForgetfulDisk::with_contents(image.journal.clone());
        }
        self.doomed = false;
        true
    }

    /// The process, if it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        match &mut self.slot {
            Slot::Correct(process) => process.as_deref_mut(),
            Slot::Silent => None,
        }
    }

    /// Where its engine stands, if it runs.
    pub fn overview(&self, now: Duration) -> Option<Overview> {
        let Slot::Correct(Some(process)) = &self.slot else { return None };
        let at = Now { moment: process.moment(now), wall: self.clock.read(now) };
        Some(process.engine.overview(at))
    }

    /// The engine, if it runs.
    pub fn engine(&self) -> Option<&Engine> {
        match &self.slot {
            Slot::Correct(process) => process.as_ref().map(|process| &process.engine),
            Slot::Silent => None,
        }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.engine().is_some()
    }

    /// Whether it is down and could run.
    pub fn is_down(&self) -> bool {
        matches!(self.slot, Slot::Correct(None))
    }

    /// Opens the files and starts a new life. Answers the height of the ledger as it was found.
    ///
    /// # Errors
    /// Why the files do not open, in words.
    pub fn open(&mut self, genesis: &Genesis, now: Duration, random: &mut Random) -> Result<Height, String> {
        assert!(self.is_down(), "one process at a time");
        let clock_start = random.millis(0, 100_000);
        let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: self.key.public() };
        let at = Now { moment: Moment(clock_start), wall: self.clock.read(now) };
        let open = || {
            let ledger =
                Ledger::open_on(self.ledger.attach(), genesis.header()).map_err(|error| error.to_string())?;
            let journal =
                Journal::open_on(self.journal.attach(), &identity).map_err(|error| error.to_string())?;
            let found = ledger.head().height;
            let engine =
                Engine::open(genesis, &self.key, ledger, journal, at).map_err(|error| error.to_string())?;
            Ok::<_, String>((found, engine))
        };
        let (found, engine) = open()?;
        self.life += 1;
        self.slot = Slot::Correct(Some(Box::new(Process {
            engine,
            screens: BTreeMap::new(),
            inbox: Vec::new(),
            clock_start,
            started: now,
            wake: None,
            busy_until: now,
            idle_wakes: 0,
            questions: BTreeMap::new(),
            submissions: BTreeMap::new(),
            tickets: 0,
        })));
        Ok(found)
    }

    /// Ends the process.
    pub fn crash(&mut self, crash: Crash, random: &mut Random) {
        // First the disks: what is dropped after that writes nothing more.
        match crash {
            Crash::Killed => {
                self.ledger.attach();
                self.journal.attach();
            }
            Crash::PowerLoss => {
                self.ledger.power_loss();
                self.journal.power_loss();
            }
            Crash::Torn => {
                self.ledger.torn_power_loss(random.number());
                self.journal.torn_power_loss(random.number());
            }
        }
        self.doomed = self.doomed && crash == Crash::Killed;
        self.crash_when_speaking = None;
        if let Slot::Correct(process) = &mut self.slot {
            *process = None;
        }
    }

    /// The time as this member sees it.
    pub fn now(&mut self, now: Duration) -> Now {
        let wall = self.clock.read(now);
        let process = self.process().expect("only a running member looks at its clocks");
        Now { moment: process.moment(now), wall }
    }
}

impl Process {
    /// When its monotonic clock will show this.
    pub fn time_of(&self, moment: Moment) -> Duration {
        self.started + moment.since(Moment(self.clock_start))
    }

    /// What its monotonic clock shows at a time.
    pub fn moment(&self, now: Duration) -> Moment {
        Moment(self.clock_start + (now - self.started))
    }

    /// A ticket that was never used in this life.
    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}
