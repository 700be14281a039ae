//! A long run without faults: does anything grow that should not?
//!
//! Four engines with files order block after block, each with one transaction, as fast as the
//! machine allows and with the clock of the simulation. From time to time everything that could
//! grow is measured.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_engine::{
    CheckedRange, Effects, Engine, EngineConfig, Event, FetchId, FetchRequest, FetchResponse, Fetched, Ticket,
};
use quorate_genesis::{Genesis, TestNetwork};
use quorate_ledger::{
    Payload, ReplicaId, SecretKey, SignatureCache, SignatureMemo, Timestamp, Transaction, VerifiedTransaction,
};
use quorate_pbft::{Moment, Now, To};
use quorate_store::{Journal, JournalIdentity, Ledger};

/// Measurements of a network of four at some height. Each number about members is the largest of
/// the four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// Height of the chain.
    pub height: u64,
    /// Height of the stable checkpoint.
    pub stable: u64,
    /// Open heights in a replica.
    pub slots: u64,
    /// Blocks in flight.
    pub in_flight: u64,
    /// Transactions in the pool.
    pub pool: u64,
    /// Ids that must not be repeated.
    pub remembered_ids: u64,
    /// Rows in a journal.
    pub journal_rows: u64,
    /// Bytes of keys and values in a journal.
    pub journal_bytes: u64,
    /// Bytes of a journal's file.
    pub journal_file: u64,
    /// Bytes of a ledger's file, which grows with the chain.
    pub ledger_file: u64,
    /// Resident memory of this process with all four engines, in bytes; 0 if the system does not
    /// report it.
    pub resident: u64,
}

impl Sample {
    /// The names of the columns.
    pub const HEADER: &'static str = "height,stable,slots,in_flight,pool,remembered_ids,journal_rows,\
                                      journal_bytes,journal_file,ledger_file,resident";
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sample { height, stable, slots, in_flight, pool, remembered_ids, .. } = self;
        let Sample { journal_rows, journal_bytes, journal_file, ledger_file, resident, .. } = self;
        write!(f, "{height},{stable},{slots},{in_flight},{pool},{remembered_ids},")?;
        write!(f, "{journal_rows},{journal_bytes},{journal_file},{ledger_file},{resident}")
    }
}

/// Virtual time between two transactions.
const PACE: Duration = Duration::from_millis(15);

/// Signatures in the shared memo.
const SIGNATURES: usize = 10_000;

/// Lifetime of transactions; it determines how many ids must be kept.
const LIFETIME_MS: u64 = 30_000;

struct Soak {
    genesis: Genesis,
    config: EngineConfig,
    signatures: SignatureCache,
    client: SecretKey,
    dir: PathBuf,
    engines: Vec<Engine>,
    inboxes: Vec<Vec<Event>>,
    asks: VecDeque<(usize, ReplicaId, FetchId, FetchRequest)>,
    moment: Moment,
    start: Timestamp,
    tickets: u64,
}

fn file(dir: &Path, member: usize, name: &str) -> PathBuf {
    dir.join(format!("{name}-{member}"))
}

impl Soak {
    fn new(dir: &Path) -> Result<Self, String> {
        let network = TestNetwork::seeded(4, 1)
            .with_parameters(|parameters| {
                parameters.block.max_transaction_lifetime_ms = LIFETIME_MS;
                parameters.consensus.timeout_cap_ms = LIFETIME_MS / 4;
            })
            .map_err(|error| error.to_string())?;
        let (genesis, keys) = network.into_parts();
        let memo = Arc::new(SignatureMemo::new(SIGNATURES));
        let config = EngineConfig::of(&genesis).remembering(Some(Arc::clone(&memo)));
        let start = Timestamp(genesis.time().0 + 1_000_000);
        let now = Now { moment: Moment::default(), wall: start };
        let mut engines = Vec::new();
        for (member, key) in keys.into_iter().enumerate() {
            let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: key.public() };
            let ledger =
                Ledger::create(file(dir, member, "ledger"), genesis.header(), &genesis.governance_state());
            let ledger = ledger.map_err(|error| error.to_string())?;
            let journal = Journal::create(file(dir, member, "journal"), &identity);
            let journal = journal.map_err(|error| error.to_string())?;
            let opened = Engine::open(&[key], ledger, journal, Some(Arc::clone(&memo)), now);
            let role = opened.map_err(|error| error.to_string())?;
            engines.push(role.into_member().expect("every key is a member's"));
        }
        let client = SecretKey::from_bytes(&[7; 32]).map_err(|error| error.to_string())?;
        let mut soak = Soak {
            signatures: SignatureCache::new(genesis.chain_id(), SIGNATURES),
            client,
            dir: dir.to_owned(),
            inboxes: engines.iter().map(|_| Vec::new()).collect(),
            engines,
            asks: VecDeque::new(),
            moment: Moment::default(),
            start,
            tickets: 0,
            config,
            genesis,
        };
        for member in soak.genesis.committee().replicas() {
            for other in soak.genesis.committee().replicas().filter(|other| *other != member) {
                soak.inboxes[member.index()].push(Event::PeerUp(other));
            }
        }
        soak.settle()?;
        Ok(soak)
    }

    fn now(&self) -> Now {
        let passed = u64::try_from(self.moment.0.as_millis()).unwrap_or(u64::MAX);
        Now { moment: self.moment, wall: self.start.plus_ms(passed) }
    }

    /// Handles all events that are due at this moment.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            let mut quiet = true;
            for member in 0..self.engines.len() {
                let events = std::mem::take(&mut self.inboxes[member]);
                let now = self.now();
                let due = self.engines[member].deadline(now).is_some_and(|deadline| deadline <= now.moment);
                if events.is_empty() && !due {
                    continue;
                }
                quiet = false;
                let effects = self.engines[member].handle(now, events).map_err(|fatal| fatal.to_string())?;
                self.deliver(member, effects)?;
            }
            while let Some((asker, to, fetch, ask)) = self.asks.pop_front() {
                quiet = false;
                self.answer(asker, to, fetch, ask)?;
            }
            if quiet {
                return Ok(());
            }
        }
    }

    fn deliver(&mut self, from: usize, effects: Effects) -> Result<(), String> {
        let sender = self.genesis.committee().replicas().nth(from).ok_or("no such member")?;
        for (to, message) in effects.messages {
            let checked = message.check(sender, &self.config.pbft.context);
            let message = checked.map_err(|error| error.to_string())?;
            for (member, inbox) in self.inboxes.iter_mut().enumerate() {
                let meant = match to {
                    To::All => member != from,
                    To::One(one) => one.index() == member,
                };
                if meant {
                    inbox.push(Event::Consensus { from: sender, message: message.clone() });
                }
            }
        }
        for batch in effects.gossip {
            let others = self.inboxes.iter_mut().enumerate().filter(|(member, _)| *member != from);
            others.for_each(|(_, inbox)| inbox.push(Event::Gossiped(batch.clone())));
        }
        self.asks.extend(effects.asks.into_iter().map(|(to, fetch, ask)| (from, to, fetch, ask)));
        Ok(())
    }

    fn answer(
        &mut self,
        asker: usize,
        to: ReplicaId,
        fetch: FetchId,
        ask: FetchRequest,
    ) -> Result<(), String> {
        let (now, ticket) = (self.now(), Ticket(0));
        let asked = self.engines[to.index()].handle(now, [Event::Asked { ticket, ask }]);
        let mut effects = asked.map_err(|fatal| fatal.to_string())?;
        let answers = std::mem::take(&mut effects.answers);
        self.deliver(to.index(), effects)?;
        for (_, answer) in answers {
            let answer = match answer {
                FetchResponse::Nothing => None,
                FetchResponse::Ids(ids) => Some(Fetched::Ids(ids)),
                FetchResponse::Transactions(transactions) => {
                    let verified = transactions.into_iter().map(|transaction| self.verify(transaction));
                    Some(Fetched::Transactions(verified.collect::<Result<_, _>>()?))
                }
                FetchResponse::Blocks(run) => {
                    let run = CheckedRange::check(run, &self.config.pbft.context);
                    Some(Fetched::Range(run.map_err(|error| error.to_string())?))
                }
            };
            self.inboxes[asker].push(Event::Answered { fetch, from: to, answer });
        }
        Ok(())
    }

    fn verify(&self, transaction: Transaction) -> Result<VerifiedTransaction, String> {
        self.signatures.verify(transaction).map_err(|error| error.to_string())
    }

    /// Orders one more transaction.
    fn order(&mut self) -> Result<(), String> {
        self.tickets += 1;
        let valid_until = self.now().wall.plus_ms(LIFETIME_MS / 2);
        let payload = Payload::Data(vec![0; 64]);
        let transaction = self.signatures.sign(&self.client, self.tickets, valid_until, payload);
        let transaction = self.verify(transaction)?;
        let member = usize::try_from(self.tickets).map_or(0, |ticket| ticket % self.engines.len());
        self.inboxes[member].push(Event::Submitted { ticket: Ticket(self.tickets), transaction });
        self.settle()?;
        self.moment = self.moment.after(PACE);
        self.settle()
    }

    fn sample(&self) -> Sample {
        let now = self.now();
        let mut sample = Sample { resident: resident(), ..Sample::default() };
        for (member, engine) in self.engines.iter().enumerate() {
            let stands = engine.overview(now);
            let most = |held: &mut u64, count: u64| *held = (*held).max(count);
            most(&mut sample.height, stands.pbft.committed.0);
            most(&mut sample.stable, stands.pbft.stable.0);
            most(&mut sample.slots, stands.pbft.slots.len() as u64);
            most(&mut sample.in_flight, stands.in_flight as u64);
            most(&mut sample.pool, stands.mempool.transactions);
            most(&mut sample.remembered_ids, stands.remembered_ids as u64);
            most(&mut sample.journal_rows, stands.journal_rows);
            most(&mut sample.journal_bytes, stands.journal_bytes);
            let size = |name| std::fs::metadata(file(&self.dir, member, name)).map_or(0, |file| file.len());
            most(&mut sample.journal_file, size("journal"));
            most(&mut sample.ledger_file, size("ledger"));
        }
        sample
    }
}

/// Resident memory of this process, as Linux reports it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Orders this many blocks with files in this directory, which must exist and be empty, and
/// measures `samples` times at equal distances.
///
/// # Errors
/// The error that stops an engine, as text.
pub fn soak(
    dir: &Path,
    blocks: u64,
    samples: u64,
    mut measured: impl FnMut(&Sample),
) -> Result<Sample, String> {
    let mut soak = Soak::new(dir)?;
    let distance = (blocks / samples.max(1)).max(1);
    let mut last = soak.sample();
    while last.height < blocks {
        for _ in 0..distance {
            soak.order()?;
        }
        last = soak.sample();
        measured(&last);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The same on a small scale: members hold the same after 1,000 blocks as after 4,000.
    #[test]
    fn nothing_but_the_ledger_grows() {
        let dir = std::env::temp_dir().join(format!("quorate-soak-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut samples = Vec::new();
        let last = soak(&dir, 4000, 4, |sample| samples.push(*sample)).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(last.stable + 256 > last.height, "{last:?}");
        for sample in &samples {
            assert!(sample.slots <= 8 && sample.in_flight <= 8 && sample.pool <= 8, "{sample:?}");
            assert!(sample.journal_rows < 1000 && sample.remembered_ids <= 2100, "{sample:?}");
        }
    }
}
