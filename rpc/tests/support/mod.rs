//! A fake node that changes only when a test changes it: a real ledger in memory, a pool, no
//! network.
//!
//! Shared by the tests of the server and of the client.

mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use quorate_api::{CheckpointJson, EvidenceJson, EvidenceKind, PeerDirection, PeerJson, TransactionStatus};
use quorate_genesis::TestNetwork;
use quorate_governance::Operation;
use quorate_ledger::{
    Ballot, Block, Body, Commit, CommitCertificate, Hash, Height, NotPermitted, Payload, Refusal, ReplicaId,
    SecretKey, Signed, Timestamp, Transaction, TransactionId, VerifiedTransaction, View,
};
use quorate_rpc::Node;
use quorate_store::{ForgetfulDisk, Ledger, LedgerReader};
use tokio::sync::watch;

/// Time between two blocks of the fake chain, milliseconds.
pub(crate) const BLOCK_TIME_MS: u64 = 1000;

/// The time limit of every wait in these tests.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Lets this much time pass on a paused clock, which advances only when all tasks are idle.
pub(crate) async fn pass(time: Duration) {
    let nothing = std::future::pending::<()>();
    assert!(tokio::time::timeout(time, nothing).await.is_err());
}

pub(crate) struct FakeNode {
    network: TestNetwork,
    disk: ForgetfulDisk,
    reader: LedgerReader,
    state: Mutex<State>,
    /// Counts changes of the state.
    changes: watch::Sender<u64>,
    /// Height of the head.
    committed: watch::Sender<Height>,
}

struct State {
    ledger: Ledger,
    pool: BTreeMap<TransactionId, VerifiedTransaction>,
    expired: BTreeSet<TransactionId>,
    rejected: BTreeMap<TransactionId, NotPermitted>,
    refusal: Option<Refusal>,
    checkpoint: Option<CheckpointJson>,
    evidence: Vec<EvidenceJson>,
    peers: Vec<PeerJson>,
    ready: bool,
    panicking: bool,
}

impl FakeNode {
    pub(crate) fn new() -> Self {
        FakeNode::of(TestNetwork::seeded(4, 1))
    }

    pub(crate) fn of(network: TestNetwork) -> Self {
        let peers = vec![PeerJson {
            name: Some("validator-1".to_owned()),
            index: Some(1),
            public_key: network.keys()[1].public(),
            peer_id: "16Uiu2HAexample".to_owned(),
            connected: true,
            direction: Some(PeerDirection::Outbound),
            connected_ms: Some(5),
            round_trip_us: None,
            committed_height: Some(0),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
            clock_ahead_ms: Some(2),
            blocks_behind: Some(0),
            program: Some("quorate/0.1.0".to_owned()),
            last_error: None,
            failed_addresses: Vec::new(),
        }];
        let disk = ForgetfulDisk::new();
        let ledger = Ledger::create_on(
            disk.attach(),
            network.genesis().header(),
            &network.genesis().governance_state(),
        )
        .unwrap();
        FakeNode {
            disk,
            network,
            reader: ledger.reader(),
            state: Mutex::new(State {
                ledger,
                pool: BTreeMap::new(),
                expired: BTreeSet::new(),
                rejected: BTreeMap::new(),
                refusal: None,
                checkpoint: None,
                evidence: Vec::new(),
                peers,
                ready: true,
                panicking: false,
            }),
            changes: watch::Sender::new(0),
            committed: watch::Sender::new(Height(0)),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock().unwrap());
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    /// The same node after a restart, with a bit of this block's last transaction flipped on its
    /// disk.
    #[allow(dead_code, reason = "not all who share this file need it")]
    pub(crate) fn with_damaged_block(self, height: Height) -> Self {
        let body = self.reader.block(height).unwrap().unwrap().body().as_bytes().to_vec();
        assert!(body.len() > 32, "the body is found by its contents");
        let FakeNode { network, disk, reader, state, changes, committed } = self;
        let mut state = state.into_inner().unwrap();
        state.ledger.make_durable().unwrap();
        let mut contents = disk.contents();
        for at in 0..contents.len() - body.len() {
            if contents[at..].starts_with(&body) {
                contents[at + body.len() - 1] ^= 1;
            }
        }
        assert_ne!(contents, disk.contents());
        let disk = ForgetfulDisk::with_contents(contents);
        drop(reader);
        state.ledger = Ledger::open_on(disk.attach(), network.genesis().header()).unwrap();
        let reader = state.ledger.reader();
        FakeNode { network, disk, reader, state: Mutex::new(state), changes, committed }
    }

    /// Refuses all transactions from now on.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.change(|state| state.refusal = Some(refusal));
    }

    /// Accepts transactions again.
    pub(crate) fn relent(&self) {
        self.change(|state| state.refusal = None);
    }

    pub(crate) fn set_ready(&self, ready: bool) {
        self.change(|state| state.ready = ready);
    }

    /// Makes the head the stable checkpoint, with the signatures of the block, which nothing checks
    /// here.
    pub(crate) fn stabilise(&self) {
        let head = self.reader.head().unwrap();
        let certificate = self.reader.certificate(head.height).unwrap().unwrap();
        let votes = certificate.votes();
        let checkpoint = CheckpointJson {
            epoch: 0,
            height: head.height.0,
            hash: head.hash,
            state_root: Hash::ZERO,
            signers: votes.signers().iter().map(|replica| replica.0).collect(),
            signatures: votes.signatures().to_vec(),
        };
        self.change(|state| state.checkpoint = Some(checkpoint));
    }

    /// Adds evidence of two votes against a validator. Its proof is a dummy, which nothing checks
    /// here.
    pub(crate) fn accuse(&self, validator: u16) {
        let faulty = &self.genesis().validators()[usize::from(validator)];
        let evidence = EvidenceJson {
            epoch: 0,
            validator,
            name: faulty.name.clone(),
            public_key: faulty.public_key,
            kind: EvidenceKind::Prepare,
            view: 2,
            height: 7,
            proof: vec![1, 2, 3],
        };
        self.change(|state| state.evidence.push(evidence));
    }

    /// Sets the other nodes.
    pub(crate) fn set_peers(&self, peers: Vec<PeerJson>) {
        self.change(|state| state.peers = peers);
    }

    /// Makes requests for the consensus state panic from now on.
    pub(crate) fn panic_on_consensus(&self) {
        self.change(|state| state.panicking = true);
    }

    /// Transactions in the pool.
    pub(crate) fn pending(&self) -> usize {
        self.state.lock().unwrap().pool.len()
    }

    /// Waits until the pool holds this many.
    pub(crate) async fn until_pending(&self, count: usize) {
        let mut changes = self.changes.subscribe();
        tokio::time::timeout(TIME_LIMIT, changes.wait_for(|_| self.pending() == count))
            .await
            .expect("the pool never held that many")
            .unwrap();
    }

    /// Time of the next block.
    pub(crate) fn next_time(&self) -> Timestamp {
        self.reader.head().unwrap().timestamp.plus_ms(BLOCK_TIME_MS)
    }

    /// A transaction that this node accepts.
    pub(crate) fn transaction(&self, nonce: u64, data: &[u8]) -> Transaction {
        let key = SecretKey::from_bytes(&[9; 32]).unwrap();
        let valid_until = self.next_time().plus_ms(60_000);
        Transaction::sign(&self.genesis().chain_id(), &key, nonce, valid_until, Payload::Data(data.to_vec()))
    }

    /// A governance transaction of this member.
    #[allow(dead_code, reason = "not all who share this file need it")]
    pub(crate) fn operation(&self, member: usize, nonce: u64, operation: &Operation) -> Transaction {
        let key = self.network.governance_key(ReplicaId(u16::try_from(member).unwrap()));
        let valid_until = self.next_time().plus_ms(60_000);
        let payload = Payload::Governance(operation.to_bytes());
        Transaction::sign(&self.genesis().chain_id(), key, nonce, valid_until, payload)
    }

    /// Orders empty blocks until the head has this height.
    #[allow(dead_code, reason = "not all who share this file need it")]
    pub(crate) fn grow_to(&self, height: u64) {
        while self.reader.head().unwrap().height.0 < height {
            self.commit(&[]);
        }
    }

    /// Lets all transactions in the pool expire.
    pub(crate) fn expire_pool(&self) {
        self.change(|state| {
            let expired = std::mem::take(&mut state.pool);
            state.expired.extend(expired.into_keys());
        });
    }

    /// Drops all transactions in the pool, as a node does after a change that excludes their senders.
    #[allow(dead_code, reason = "not all who share this file need it")]
    pub(crate) fn reject_pool(&self, reason: NotPermitted) {
        self.change(|state| {
            let rejected = std::mem::take(&mut state.pool);
            state.rejected.extend(rejected.into_keys().map(|id| (id, reason)));
        });
    }

    /// Orders everything in the pool into one block with a certificate of its own.
    pub(crate) fn commit_pool(&self) -> Height {
        self.change(|state| {
            let transactions: Vec<_> = std::mem::take(&mut state.pool).into_values().collect();
            let block = self.next_block(&self.reader.header_at_head(), &transactions);
            self.append(state, &[block])
        })
    }

    /// Orders these, then an empty block whose certificate makes both final.
    pub(crate) fn commit_through_descendant(&self, transactions: &[Transaction]) -> Height {
        let verified: Vec<_> = transactions.iter().map(|transaction| self.verified(transaction)).collect();
        self.change(|state| {
            let block = self.next_block(&self.reader.header_at_head(), &verified);
            let descendant = self.next_block(block.header(), &[]);
            self.append(state, &[block, descendant]);
        });
        self.reader.head().unwrap().height.previous().unwrap()
    }

    /// Orders these into one block.
    pub(crate) fn commit(&self, transactions: &[Transaction]) -> Height {
        let verified: Vec<_> = transactions.iter().map(|transaction| self.verified(transaction)).collect();
        self.change(|state| {
            let block = self.next_block(&self.reader.header_at_head(), &verified);
            self.append(state, &[block])
        })
    }

    fn verified(&self, transaction: &Transaction) -> VerifiedTransaction {
        transaction.clone().verify(&self.genesis().chain_id()).unwrap()
    }

    fn next_block(&self, parent: &quorate_ledger::Header, transactions: &[VerifiedTransaction]) -> Block {
        let time = parent.timestamp.plus_ms(BLOCK_TIME_MS);
        // The committee of the block above is known, because changes take effect later.
        let above = parent.height.next().next();
        let config = self.reader.governance().unwrap().config(above).unwrap().clone();
        let next_committee = config.committee().hash();
        Block::proposed(parent, Body::of(transactions), time, ReplicaId(0), next_committee).unwrap()
    }

    fn append(&self, state: &mut State, blocks: &[Block]) -> Height {
        let last = blocks.last().unwrap();
        let config = state.ledger.governance().config(last.height()).unwrap().clone();
        let committee = config.committee();
        let (epoch, block) = (committee.epoch(), last.hash());
        let ballot = Ballot { epoch, view: View(0), height: last.height(), block };
        let chain = self.genesis().chain_id();
        // Members that joined later have keys that this node does not know.
        let members =
            self.network.keys().iter().filter_map(|key| Some((committee.index_of(&key.public())?, key)));
        let mut members: Vec<_> = members.collect();
        members.sort_by_key(|(index, _)| *index);
        let commits: Vec<_> = members
            .into_iter()
            .map(|(index, key)| Signed::sign(&chain, key, index, Commit(ballot)))
            .collect();
        let certificate = CommitCertificate::assemble(committee, ballot, &commits).unwrap().into_inner();
        state.ledger.append(blocks, &certificate).unwrap();
        self.committed.send_replace(last.height());
        last.height()
    }
}

/// The header of the head.
trait HeadHeader {
    fn header_at_head(&self) -> quorate_ledger::Header;
}

impl HeadHeader for LedgerReader {
    fn header_at_head(&self) -> quorate_ledger::Header {
        self.header(self.head().unwrap().height).unwrap().unwrap()
    }
}

impl FakeNode {
    /// The status of a transaction.
    fn current_status(&self, id: &TransactionId) -> TransactionStatus {
        {
            let state = self.state.lock().unwrap();
            if state.pool.contains_key(id) {
                return TransactionStatus::Pending;
            }
            if state.expired.contains(id) {
                return TransactionStatus::Expired;
            }
            if let Some(reason) = state.rejected.get(id) {
                return TransactionStatus::rejected(*reason);
            }
        }
        match self.reader.locate(id).unwrap() {
            Some((height, index)) => TransactionStatus::Committed { height: height.0, index },
            None => TransactionStatus::Unknown,
        }
    }
}
