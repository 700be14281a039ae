//! A chain whose members change by governance transactions.

use quorate_api::EpochProofsJson;
use quorate_governance::{Change, Name, Operation, Possession};
use quorate_ledger::{
    Block, EpochProof, MerklePath, Payload, PublicKey, SecretKey, Transaction, VerifiedTransaction,
};
use quorate_store::{ForgetfulDisk, Ledger};

use super::*;

/// Transactions of each block.
const TRANSACTIONS: usize = 5;

/// The member whose consensus key is rotated, and the one that is removed, by their indices in the
/// genesis.
const ROTATED: u16 = 1;
const REMOVED: u16 = 2;

/// A chain with five epochs. Each begins with one change of the members:
///
/// * epoch 0 has the four validators of the genesis;
/// * epoch 1 has a new key in place of that of [`ROTATED`];
/// * epoch 2 has a fifth member;
/// * epoch 3 lacks [`REMOVED`];
/// * epoch 4 has the same members as epoch 3, after a renewal.
pub(super) struct Chain {
    pub(super) network: TestNetwork,
    /// The keys of all members of all epochs.
    keys: Vec<SecretKey>,
    ledger: Ledger,
    /// From height 1 on.
    blocks: Vec<Block>,
    /// By epoch.
    committees: Vec<Committee>,
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32]).unwrap()
}

/// The key that replaces that of [`ROTATED`], and the consensus key of the fifth member.
pub(super) fn rotated_key() -> SecretKey {
    key(7)
}

pub(super) fn added_key() -> SecretKey {
    key(8)
}

/// The governance key of the fifth member.
fn added_governance_key() -> SecretKey {
    key(9)
}

impl Chain {
    pub(super) fn new() -> Self {
        let Quorum(network) = Quorum::new();
        let disk = ForgetfulDisk::new();
        let genesis = network.genesis();
        let ledger = Ledger::create_on(disk.attach(), genesis.header(), &genesis.governance_state()).unwrap();
        let keys = network.keys().iter().cloned().chain([rotated_key(), added_key()]).collect();
        let committees = vec![genesis.committee().clone()];
        let mut chain = Chain { network, keys, ledger, blocks: Vec::new(), committees };
        chain.rotate();
        chain.add_a_member();
        chain.remove_a_member();
        chain.commit(&[chain.operation(chain.governance_key(3), &Operation::Renew)]);
        chain.grow_to_epoch(4);
        chain.commit(&[]);
        chain.commit(&[]);
        chain
    }

    fn rotate(&mut self) {
        let owner = self.governance_key(ROTATED);
        let chain = self.network.genesis().chain_id();
        let possession = Possession::sign(&chain, owner.public(), &rotated_key(), Epoch(0));
        let rotate = Operation::Rotate { consensus_key: rotated_key().public(), possession };
        self.commit(&[self.operation(owner, &rotate)]);
        self.grow_to_epoch(1);
    }

    fn add_a_member(&mut self) {
        let change = Change::AddMember {
            name: name("validator-4"),
            consensus_key: added_key().public(),
            governance_key: added_governance_key().public(),
        };
        let proposal = self.propose(change);
        self.grow_until(|state| state.next_config().candidates().contains(&added_key().public()));
        let head = self.ledger.head();
        let ready = Operation::Ready { height: head.height, block: head.hash };
        self.commit(&[self.operation(&added_key(), &ready)]);
        let approve = Operation::Approve(proposal);
        let approvals = [1, 2].map(|member| self.operation(self.governance_key(member), &approve));
        self.commit(&approvals);
        self.grow_to_epoch(2);
    }

    fn remove_a_member(&mut self) {
        let removed = &self.network.genesis().validators()[usize::from(REMOVED)];
        let proposal = self.propose(Change::RemoveMember { name: name(&removed.name) });
        let approve = Operation::Approve(proposal);
        let fifth = added_governance_key();
        let approvals = [self.governance_key(1), self.governance_key(3), &fifth];
        let approvals = approvals.map(|key| self.operation(key, &approve));
        self.commit(&approvals);
        self.grow_to_epoch(3);
    }

    /// Proposes a change as member 0.
    fn propose(&mut self, change: Change) -> TransactionId {
        let propose = Operation::Propose { changes: vec![change] };
        let transaction = self.operation(self.governance_key(0), &propose);
        self.commit(std::slice::from_ref(&transaction));
        transaction.id()
    }

    fn governance_key(&self, member: u16) -> &SecretKey {
        self.network.governance_key(ReplicaId(member))
    }

    fn operation(&self, key: &SecretKey, operation: &Operation) -> VerifiedTransaction {
        self.sign(key, 0, Payload::Governance(operation.to_bytes()))
    }

    fn sign(&self, key: &SecretKey, nonce: usize, payload: Payload) -> VerifiedTransaction {
        let chain = self.network.genesis().chain_id();
        // The number of the block makes it unique.
        let nonce = u64::try_from(TRANSACTIONS * self.blocks.len() + nonce).unwrap();
        let until = self.ledger.head().timestamp.plus_ms(60_000);
        Transaction::sign(&chain, key, nonce, until, payload).verify(&chain).unwrap()
    }

    /// Orders a block with these operations, and data in the other places.
    fn commit(&mut self, operations: &[VerifiedTransaction]) {
        let data = (operations.len()..TRANSACTIONS).map(|number| {
            let payload = Payload::Data(format!("payload {number}").into_bytes());
            self.sign(&key(10), number, payload)
        });
        let body = Body::of(&operations.iter().cloned().chain(data).collect::<Vec<_>>());
        let parent = self.blocks.last().map_or(self.network.genesis().header(), Block::header);
        let state = self.ledger.governance();
        let config = state.config(parent.height.next().next()).unwrap();
        let (time, next) = (parent.timestamp.plus_ms(1000), config.committee().clone());
        let block = Block::proposed(parent, body, time, ReplicaId(1), next.hash()).unwrap();
        let header = block.header().clone();
        let certificate = self.certificate(&header, self.epoch_of(&header));
        self.ledger.append(std::slice::from_ref(&block), &certificate).unwrap();
        self.blocks.push(block);
        if header.ends_epoch() {
            self.committees.push(next);
        }
    }

    /// Orders blocks until the state after the last of them is as it should be.
    fn grow_until(&mut self, is_reached: impl Fn(&quorate_governance::State) -> bool) {
        for _ in 0..20 {
            if is_reached(self.ledger.governance()) {
                return;
            }
            self.commit(&[]);
        }
        panic!("nothing that was decided has this effect: {:?}", self.ledger.governance());
    }

    fn grow_to_epoch(&mut self, epoch: u64) {
        self.grow_until(|state| state.next_config().epoch() == Epoch(epoch));
        assert_eq!(self.committees.len() as u64, epoch + 1);
    }

    fn epoch_of(&self, header: &Header) -> usize {
        usize::try_from(header.epoch.0).unwrap()
    }

    pub(super) fn committee(&self, epoch: usize) -> &Committee {
        &self.committees[epoch]
    }

    pub(super) fn members(&self, epoch: usize) -> Vec<PublicKey> {
        let committee = self.committee(epoch);
        committee.replicas().map(|replica| *committee.member(replica).unwrap()).collect()
    }

    /// The secret key of a member of an epoch.
    pub(super) fn key_of(&self, epoch: usize, replica: ReplicaId) -> &SecretKey {
        let public = self.committee(epoch).member(replica).unwrap();
        self.keys.iter().find(|key| key.public() == *public).unwrap()
    }

    /// The index of a member in an epoch.
    pub(super) fn index_of(&self, epoch: usize, key: &SecretKey) -> ReplicaId {
        self.committee(epoch).index_of(&key.public()).unwrap()
    }

    /// The first height of an epoch, and the last one if the epoch has ended.
    pub(super) fn first(&self, epoch: usize) -> usize {
        1 + self.blocks.iter().position(|block| self.epoch_of(block.header()) == epoch).unwrap()
    }

    pub(super) fn last(&self, epoch: usize) -> usize {
        1 + self.blocks.iter().rposition(|block| self.epoch_of(block.header()) == epoch).unwrap()
    }

    pub(super) fn header(&self, height: usize) -> Header {
        self.blocks[height - 1].header().clone()
    }

    /// Signatures of these keys for any header, as those of the members with these indices.
    pub(super) fn signed(&self, header: &Header, signers: &[(ReplicaId, &SecretKey)]) -> CommitCertificate {
        let ballot =
            Ballot { epoch: header.epoch, view: View(12), height: header.height, block: header.hash() };
        let chain = self.network.genesis().chain_id();
        let sign = |(replica, key): &(ReplicaId, &SecretKey)| {
            Signed::sign(&chain, key, *replica, Commit(ballot)).into_inner().signature
        };
        let signatures = signers.iter().map(sign).collect();
        let signers = Signers::of(signers.iter().map(|(replica, _)| *replica));
        CommitCertificate::claimed(ballot, SignatureSet::claimed(signers, signatures))
    }

    /// The first members of an epoch that are a quorum.
    pub(super) fn quorum(&self, epoch: usize) -> Vec<(ReplicaId, &SecretKey)> {
        let committee = self.committee(epoch);
        committee.replicas().take(committee.quorum()).map(|each| (each, self.key_of(epoch, each))).collect()
    }

    /// A certificate that the members of an epoch sign for any header.
    pub(super) fn certificate(&self, header: &Header, epoch: usize) -> CommitCertificate {
        self.signed(header, &self.quorum(epoch))
    }

    pub(super) fn proof(&self, header: Header, descendants: Vec<Header>, epoch: usize) -> FinalityProof {
        let certificate = self.certificate(descendants.last().unwrap_or(&header), epoch);
        FinalityProof { header, descendants, certificate }
    }

    /// The receipt of the third transaction of a block, with any proof.
    pub(super) fn receipt_with(&self, height: usize, proof: FinalityProof) -> Receipt {
        let ids = self.blocks[height - 1].body().ids();
        Receipt { transaction: ids[2], index: 2, path: MerklePath::new(ids, 2).unwrap(), proof }
    }

    /// The receipt of the block at a height, with the blocks above it up to the certified one.
    pub(super) fn receipt(&self, height: usize, certified: usize) -> Receipt {
        let above = (height + 1..=certified).map(|height| self.header(height)).collect();
        let epoch = self.epoch_of(self.blocks[certified - 1].header());
        self.receipt_with(height, self.proof(self.header(height), above, epoch))
    }

    /// The proof of the end of an epoch, as a node with this chain serves it.
    pub(super) fn end_of(&self, epoch: usize) -> EpochProof {
        let from = Epoch(u64::try_from(epoch).unwrap());
        self.ledger.reader().epoch_proofs(from, 1).unwrap().remove(0)
    }

    /// The same with an altered header, which the members sign.
    pub(super) fn end_with(&self, epoch: usize, change: impl FnOnce(&mut Header)) -> EpochProof {
        let EpochProof { last, next } = self.end_of(epoch);
        let mut header = last.header;
        change(&mut header);
        EpochProof { last: self.proof(header, Vec::new(), epoch), next }
    }

    /// The proofs that lead to the members of an epoch.
    pub(super) fn proofs_to(&self, epoch: usize) -> Vec<EpochProof> {
        (0..epoch).map(|ended| self.end_of(ended)).collect()
    }

    pub(super) fn text(&self, proofs: &[EpochProof]) -> String {
        serde_json::to_string(&EpochProofsJson::of(self.network.genesis().chain_id(), proofs)).unwrap()
    }

    /// The proofs that lead to an epoch, as text.
    pub(super) fn text_to(&self, epoch: usize) -> String {
        self.text(&self.proofs_to(epoch))
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn each_epoch_begins_with_one_change_of_the_members() {
    let chain = Chain::new();
    let [genesis, rotated, added, removed, renewed] = [0, 1, 2, 3, 4].map(|epoch| chain.members(epoch));
    let old = chain.network.key(ReplicaId(ROTATED)).public();
    let differ = |some: &[PublicKey], others: &[PublicKey]| -> Vec<PublicKey> {
        some.iter().filter(|key| !others.contains(key)).copied().collect()
    };
    assert_eq!(
        (differ(&genesis, &rotated), differ(&rotated, &genesis)),
        (vec![old], vec![rotated_key().public()])
    );
    assert_eq!((differ(&rotated, &added), differ(&added, &rotated)), (vec![], vec![added_key().public()]));
    let gone = chain.network.key(ReplicaId(REMOVED)).public();
    assert_eq!((differ(&added, &removed), differ(&removed, &added)), (vec![gone], vec![]));
    assert_eq!(removed, renewed);
    assert_eq!([0, 1, 2, 3, 4].map(|epoch| chain.committee(epoch).quorum()), [3, 3, 4, 3, 3]);
}
