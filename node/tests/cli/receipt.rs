//! A receipt of a seeded network, for the tests of `verify` in and around the program.

use quorate_api::ReceiptJson;
use quorate_genesis::TestNetwork;
use quorate_ledger::{
    Ballot, Block, Body, Commit, CommitCertificate, Epoch, FinalityProof, Header, MerklePath, Payload,
    Receipt, ReplicaId, Signed, Timestamp, Transaction, VerifiedTransaction, View,
};

/// The network whose validators have signed [`receipt`].
pub(crate) fn network() -> TestNetwork {
    TestNetwork::seeded(4, 7)
}

/// The receipt of the third of five transactions in block 1 of [`network`].
pub(crate) fn receipt() -> ReceiptJson {
    let network = network();
    let genesis = network.genesis();
    let chain = genesis.chain_id();
    let time = Timestamp(genesis.time().0 + 1000);
    let transactions: Vec<VerifiedTransaction> = (0..5_u8)
        .map(|nonce| {
            let payload = Payload::Data(vec![nonce; 3]);
            let key = network.key(ReplicaId(0));
            let transaction = Transaction::sign(&chain, key, u64::from(nonce), time.plus_ms(1000), payload);
            transaction.verify(&chain).expect("just signed")
        })
        .collect();
    let body = Body::of(&transactions);
    let header = Header::after(genesis.header(), &body, time, ReplicaId(1));
    let block = Block::new(header, body).expect("the header was made for this body");
    let ballot = Ballot { epoch: Epoch(0), view: View(12), height: block.height(), block: block.hash() };
    let commits: Vec<_> = genesis
        .committee()
        .replicas()
        .map(|replica| Signed::sign(&chain, network.key(replica), replica, Commit(ballot)))
        .collect();
    let certificate =
        CommitCertificate::assemble(genesis.committee(), ballot, &commits).expect("all members have signed");
    let ids = block.body().ids();
    ReceiptJson::from(&Receipt {
        transaction: ids[2],
        index: 2,
        path: MerklePath::new(ids, 2).expect("there are five"),
        proof: FinalityProof {
            header: block.header().clone(),
            descendants: Vec::new(),
            certificate: certificate.into_inner(),
        },
    })
}
