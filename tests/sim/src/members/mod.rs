//! One member of the simulated network: its two disks, its clock, and its process while it runs.

mod byzantine;
mod epochs;
mod lives;
mod wake;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quorate_engine::{Engine, EpochRole, Event, FetchRequest, Overview, Ticket};
use quorate_genesis::Genesis;
use quorate_ledger::{Epoch, Height, PublicKey, ReplicaId, SecretKey, SignatureMemo, Timestamp};
use quorate_pbft::{Moment, Now, Position, Screen};
use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger, StoreError};

use crate::byzantine::Adversary;
use crate::network::requests::Asker;
use crate::random::Random;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Only the process: everything that it wrote stays, synced or not.
    Killed,
    /// The machine: unsynced data is lost.
    PowerLoss,
    /// The machine during a write: some sectors of the unsynced data are kept.
    Torn,
}

/// A wall clock with an offset and a drift.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    /// The time of correct clocks at the start of the run.
    pub start: Timestamp,
    /// Milliseconds ahead of correct clocks; negative if behind.
    pub ahead_ms: i64,
    /// Microseconds gained per second; negative if lost.
    pub drift_ppm: i64,
}

impl WallClock {
    /// The time that it shows.
    pub fn read(&self, now: Duration) -> Timestamp {
        let elapsed_ms = i64::try_from(now.as_millis()).expect("a run lasts minutes");
        let off = self.ahead_ms + elapsed_ms * self.drift_ppm / 1_000_000;
        let shown = self.start.0.checked_add_signed(elapsed_ms + off).expect("clocks are off by seconds");
        Timestamp(shown)
    }
}

/// The process of a member during a run.
#[derive(Debug)]
pub enum Slot {
    /// A correct member; it may be down.
    Correct(Option<Box<Process>>),
    /// A faulty member that never sends anything. Other kinds of faulty members are separate.
    Silent,
    /// No member: it was removed, or not added yet.
    Outside,
}

/// One life of a correct member: from opening its files to a crash.
#[derive(Debug)]
pub struct Process {
    /// The production engine on the production store.
    pub engine: Engine,
    /// What the engine published last about its position (R25). `None` since it handled something:
    /// most positions are never read.
    pub position: Option<Position>,
    /// Drops each member's messages that are not worth checking (R25).
    pub screens: BTreeMap<ReplicaId, Screen>,
    /// Events that were not handled yet.
    pub inbox: Vec<Event>,
    /// The offset of its monotonic clock.
    clock_start: Duration,
    started: Duration,
    /// When it wakes up next.
    pub wake: Option<Duration>,
    /// The end of the current write of a group; later events wait until then.
    pub busy_until: Duration,
    /// Consecutive wake-ups without work that immediately requested another one.
    pub idle_wakes: u32,
    /// The requester of each open request, and the request.
    pub requests: BTreeMap<Ticket, (Asker, FetchRequest)>,
    /// Submissions without a response: number of the order.
    pub submissions: BTreeMap<Ticket, usize>,
    tickets: u64,
}

/// Copies of both disks of a member. No process uses them.
#[derive(Debug)]
pub struct Image {
    ledger: ForgetfulDisk,
    journal: ForgetfulDisk,
}

/// One machine of a member. Only twins have two machines per member.
#[derive(Debug)]
pub struct Member {
    /// Number of the machine. The first numbers are the members' indices in the committee.
    pub replica: ReplicaId,
    /// The member for which it signs.
    pub identity: ReplicaId,
    /// Its behaviours, if it is Byzantine.
    pub adversary: Option<Adversary>,
    /// The machines to which it connects; all if `None`.
    pub peers: Option<BTreeSet<ReplicaId>>,
    /// Its epoch, or while it is down the last one.
    pub epoch: Epoch,
    /// It is no member in the next epoch, and stops when it has sent its last messages.
    pub leaving: bool,
    /// Its disks were restored to an old state, so it may have lost statements that it signed in
    /// epochs up to this one.
    pub tainted: Option<Epoch>,
    /// An earlier copy of its disks.
    pub image: Option<Image>,
    /// Its ledger, but not its journal, was restored to an old state, and has not reached this
    /// height again.
    pub behind: Option<Height>,
    /// The keys with which it may sign, the newest last.
    pub keys: Vec<SecretKey>,
    /// The ledger's disk.
    pub ledger: ForgetfulDisk,
    /// The journal's disk.
    pub journal: ForgetfulDisk,
    /// Its wall clock.
    pub clock: WallClock,
    /// Its current state.
    pub slot: Slot,
    /// Number of its current or last life. Messages to an earlier life are not delivered.
    pub life: u64,
    /// A disk failure was planned, so it may stop at any time.
    pub doomed: bool,
    /// It crashes at the next opportunity between journaling and sending, or while sending.
    pub crash_when_speaking: Option<Speech>,
    /// Factor of the time that its disk needs.
    pub slowness: u32,
    /// Highest block that it reported to a client as committed.
    pub answered: Height,
}

/// When a crash happens relative to sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// Everything is journaled, nothing is sent.
    Before,
    /// Some messages are sent.
    Amid,
}

impl Member {
    /// A member with an empty journal and a copy of this ledger.
    ///
    /// # Panics
    /// If the journal cannot be created: these disks do not fail before a fault is planned.
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
            adversary: None,
            peers: None,
            epoch: Epoch(0),
            leaving: false,
            tainted: None,
            image: None,
            behind: None,
            keys: vec![key],
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

    /// Whether all rules apply to it in its epoch.
    pub fn is_correct(&self) -> bool {
        self.is_correct_in(self.epoch)
    }

    /// Whether all rules apply to its statements of an epoch. Lost statements are void in the next
    /// epoch.
    pub fn is_correct_in(&self, epoch: Epoch) -> bool {
        let remembers = self.tainted.is_none_or(|through| epoch > through);
        self.adversary.is_none() && remembers && !matches!(self.slot, Slot::Silent)
    }

    /// Whether it connects to another machine.
    pub fn knows(&self, other: ReplicaId) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.contains(&other))
    }

    /// Copies the disks.
    pub fn copy_disks(&mut self) {
        self.image = Some(Image { ledger: self.ledger.copy(), journal: self.journal.copy() });
    }

    /// Restores the copied ledger, and the journal too if `both`. `false` if there is no copy.
    pub fn put_back(&mut self, both: bool) -> bool {
        let Some(image) = &self.image else { return false };
        self.ledger = image.ledger.copy();
        if both {
            self.journal = image.journal.copy();
        }
        self.doomed = false;
        true
    }

    /// The process, if it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        match &mut self.slot {
            Slot::Correct(process) => process.as_deref_mut(),
            Slot::Silent | Slot::Outside => None,
        }
    }

    /// The engine's state, if it runs.
    pub fn overview(&self, now: Duration) -> Option<Overview> {
        let Slot::Correct(Some(process)) = &self.slot else { return None };
        let at = Now { moment: process.moment(now), wall: self.clock.read(now) };
        Some(process.engine.overview(at))
    }

    /// The engine, if it runs.
    pub fn engine(&self) -> Option<&Engine> {
        match &self.slot {
            Slot::Correct(process) => process.as_ref().map(|process| &process.engine),
            Slot::Silent | Slot::Outside => None,
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

    /// Opens the files and starts a new life. Returns the height of the ledger as it was found, or
    /// `None` if the epoch after its blocks and those of the journal has no such member.
    ///
    /// # Errors
    /// Why the files do not open, as text.
    pub fn open(
        &mut self,
        memo: Option<&Arc<SignatureMemo>>,
        genesis: &Genesis,
        now: Duration,
        random: &mut Random,
    ) -> Result<Option<Height>, String> {
        assert!(self.is_down(), "one process at a time");
        let clock_start = random.millis(0, 100_000);
        let newest = self.keys.last().expect("it has a key").public();
        let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: newest };
        let others: Vec<PublicKey> = self.keys.iter().map(SecretKey::public).collect();
        let at = Now { moment: Moment(clock_start), wall: self.clock.read(now) };
        let text = |error: StoreError| error.to_string();
        let ledger = Ledger::open_on(self.ledger.attach(), genesis.header()).map_err(text)?;
        let journal = Journal::open_on_of(self.journal.attach(), &identity, &others).map_err(text)?;
        let found = ledger.head().height;
        let opened = Engine::open(&self.keys, ledger, journal, memo.cloned(), at);
        let role = opened.map_err(|error| error.to_string())?;
        let EpochRole::Member(engine) = role else { return Ok(None) };
        self.life += 1;
        self.epoch = engine.epoch();
        self.slot = Slot::Correct(Some(Box::new(Process {
            engine,
            position: None,
            screens: BTreeMap::new(),
            inbox: Vec::new(),
            clock_start,
            started: now,
            wake: None,
            busy_until: now,
            idle_wakes: 0,
            requests: BTreeMap::new(),
            submissions: BTreeMap::new(),
            tickets: 0,
        })));
        Ok(Some(found))
    }

    /// It becomes a member, with the disk of a ledger and an empty journal.
    pub fn join(&mut self, ledger: ForgetfulDisk) {
        self.ledger = ledger;
        self.slot = Slot::Correct(None);
    }

    /// Ends the process.
    pub fn crash(&mut self, crash: Crash, random: &mut Random) {
        // Disks first: nothing is written when the process is dropped.
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

    /// The time on this member's clocks.
    pub fn now(&mut self, now: Duration) -> Now {
        let wall = self.clock.read(now);
        let process = self.process().expect("only a running member reads its clocks");
        Now { moment: process.moment(now), wall }
    }
}

impl Process {
    /// When its monotonic clock will show this moment.
    pub fn time_of(&self, moment: Moment) -> Duration {
        self.started + moment.since(Moment(self.clock_start))
    }

    /// The moment on its monotonic clock at a time.
    pub fn moment(&self, now: Duration) -> Moment {
        Moment(self.clock_start + (now - self.started))
    }

    /// A ticket that was never used in this life.
    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}
