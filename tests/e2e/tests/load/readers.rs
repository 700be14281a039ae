//! Subscribers whose streams are cut at random and resumed.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use quorate_api::BlockJson;
use quorate_client::{Client, ClientConfig, ClientError};
use quorate_e2e::{CallError, EventStream, Network, Random, SocketStream, WAIT_LIMIT, between_looks};
use quorate_ledger::{BlockHash, Height, TransactionId};
use tokio::runtime::Runtime;
use tokio::time::timeout_at;

/// Longest time that a stream is read before it is dropped.
const LONGEST_LIFE: Duration = Duration::from_millis(1500);

/// How blocks are read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport {
    /// `Client::follow`.
    Client,
    /// `/stream` with `Last-Event-ID`.
    Events,
    /// `chain_subscribe` over `/ws`.
    Socket,
}

/// The part of a block that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) hash: BlockHash,
    pub(crate) transactions: Vec<TransactionId>,
}

/// Everything that a subscriber received, from block 1 on.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) node: usize,
    pub(crate) transport: Transport,
    pub(crate) blocks: Vec<Seen>,
    /// Streams that delivered a block.
    pub(crate) streams: usize,
    /// Failed attempts to open a stream.
    pub(crate) failed: usize,
}

/// A subscriber of one node in the background.
pub(crate) struct Subscriber {
    /// Height up to which it reads; 0 while the height is not known.
    until: Arc<AtomicU64>,
    thread: JoinHandle<Report>,
}

impl Subscriber {
    /// Starts to read.
    pub(crate) fn start(network: &Network, node: usize, transport: Transport, random: Random) -> Subscriber {
        let until = Arc::<AtomicU64>::default();
        let genesis = network.genesis();
        // The client knows only one node, so it must not wait for another one.
        let config = ClientConfig { timeout: Duration::ZERO, ..ClientConfig::default() };
        let url = &network.validators()[node].rpc;
        let mut reader = Reader {
            address: network.rpc(node).address(),
            client: Client::new([url], genesis.anchor().clone(), config).unwrap(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            random,
            last: genesis.header().hash(),
            report: Report { node, transport, blocks: Vec::new(), streams: 0, failed: 0 },
        };
        let goal = Arc::clone(&until);
        let thread = std::thread::spawn(move || {
            reader.read_until(&goal);
            reader.report
        });
        Subscriber { until, thread }
    }

    /// Lets the subscriber read up to a height; returns what it has received.
    ///
    /// # Panics
    /// If the subscriber did: a block was wrong, missing or repeated, or the last one does not
    /// arrive.
    pub(crate) fn finish(self, height: u64) -> Report {
        self.until.store(height, Ordering::Relaxed);
        self.thread.join().expect("a subscriber received a wrong block")
    }
}

struct Reader {
    address: SocketAddr,
    client: Client,
    runtime: Runtime,
    random: Random,
    /// Hash of the last block, the genesis at first.
    last: BlockHash,
    report: Report,
}

/// Why a stream ends early.
enum Broken {
    /// The node is gone, or has closed the stream.
    Gone,
    /// The node sent something wrong.
    Wrong(String),
}

impl From<CallError> for Broken {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable(error) if error.kind() != ErrorKind::InvalidData => Broken::Gone,
            CallError::Refused(error) if error.data.retryable => Broken::Gone,
            other => Broken::Wrong(other.to_string()),
        }
    }
}

impl From<ClientError> for Broken {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Call(call) if call.is_retryable() => Broken::Gone,
            _ => Broken::Wrong(error.to_string()),
        }
    }
}

impl Reader {
    fn read_until(&mut self, goal: &AtomicU64) {
        let mut deadline = None;
        loop {
            let until = goal.load(Ordering::Relaxed);
            if until > 0 {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + WAIT_LIMIT);
                if self.height() >= until {
                    return;
                }
                let Report { node, transport, blocks, .. } = &self.report;
                let received = blocks.len();
                assert!(
                    Instant::now() < deadline,
                    "validator {node} sent {received} of {until} blocks over {transport:?}"
                );
            }
            let before = self.height();
            let end = Instant::now() + self.random.up_to(LONGEST_LIFE);
            let broken = match self.report.transport {
                Transport::Client => self.follow(end),
                Transport::Events => self.read_events(end),
                Transport::Socket => self.read_socket(end),
            };
            self.report.streams += usize::from(self.height() > before);
            match broken {
                Err(Broken::Wrong(what)) => {
                    panic!("validator {} over {:?}: {what}", self.report.node, self.report.transport)
                }
                Err(Broken::Gone) if Instant::now() < end => {
                    self.report.failed += 1;
                    between_looks();
                }
                // The stream was dropped at the end of its time.
                Err(Broken::Gone) | Ok(()) => {}
            }
        }
    }

    fn height(&self) -> u64 {
        self.report.blocks.len() as u64
    }

    /// Accepts the next block and no other.
    fn take(&mut self, height: u64, parent: BlockHash, seen: Seen) {
        let Reader { report, last, .. } = self;
        let expected = report.blocks.len() as u64 + 1;
        assert_eq!(
            height, expected,
            "validator {} sent another block over {:?}",
            report.node, report.transport
        );
        assert_eq!(parent, *last, "block {height} of validator {} has another parent", report.node);
        *last = seen.hash;
        report.blocks.push(seen);
    }

    fn take_json(&mut self, json: &BlockJson) {
        let block = json.to_block().expect("a consistent block");
        assert_eq!(block.hash(), json.hash);
        let seen = Seen { hash: json.hash, transactions: json.transactions.ids() };
        self.take(json.header.height, json.header.parent, seen);
    }

    fn follow(&mut self, end: Instant) -> Result<(), Broken> {
        let mut blocks = Vec::new();
        let result = self.runtime.block_on(async {
            let mut follower = self.client.follow(Height(self.height() + 1));
            while let Ok(block) = timeout_at(end.into(), follower.next()).await {
                blocks.push(block?);
            }
            // Blocks that the client has buffered are dropped with it, and received again.
            Ok(())
        });
        for block in blocks {
            let transactions = block.body().ids().to_vec();
            self.take(block.height().0, block.header().parent, Seen { hash: block.hash(), transactions });
        }
        result
    }

    fn read_events(&mut self, end: Instant) -> Result<(), Broken> {
        let seen = Some(self.height()).filter(|height| *height > 0);
        let mut stream = EventStream::open(self.address, seen)?;
        loop {
            let block = stream.next(end)?;
            self.take_json(&block);
        }
    }

    fn read_socket(&mut self, end: Instant) -> Result<(), Broken> {
        let mut stream = SocketStream::open(self.address, self.height() + 1)?;
        loop {
            let block = stream.next(end)?;
            self.take_json(&block);
        }
    }
}
