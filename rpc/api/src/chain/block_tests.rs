#![allow(clippy::unwrap_used)]
use super::*;
use crate::chain::fixture::World;

fn json(full: bool) -> (World, BlockJson) {
    let world = World::new();
    let certificate = world.certify(&world.blocks[0]);
    let json = BlockJson::of(&world.blocks[0], Some(&certificate), full);
    (world, json)
}

fn through_text(json: &BlockJson) -> BlockJson {
    serde_json::from_str(&serde_json::to_string(json).unwrap()).unwrap()
}

#[test]
fn a_block_survives_json() {
    let (world, json) = json(true);
    let read = through_text(&json);
    assert_eq!(read, json);
    assert_eq!(read.to_block().unwrap(), world.blocks[0]);
    let certificate = CommitCertificate::try_from(&read.certificate.unwrap()).unwrap();
    let anchor = &world.anchor;
    certificate.verify(&anchor.chain_id(), anchor.newest()).unwrap();
}

#[test]
fn an_empty_block_is_whole_with_and_without_full() {
    let world = World::new();
    for full in [true, false] {
        let json = through_text(&BlockJson::of(&world.blocks[1], None, full));
        assert_eq!(json.to_block().unwrap(), world.blocks[1]);
        assert_eq!(json.certificate, None);
        assert!(json.transactions.is_empty());
    }
}

#[test]
fn a_block_with_ids_only_is_checked_against_its_header() {
    let (world, json) = json(false);
    let read = through_text(&json);
    assert_eq!(read.transactions, TransactionsJson::Ids(world.blocks[0].body().ids().to_vec()));
    assert_eq!(read.transactions.len(), 5);
    assert_eq!(read.skeleton().unwrap().header(), world.blocks[0].header());
    assert!(matches!(read.to_block(), Err(InvalidJson::IdsOnly)));
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let (_, whole) = json(true);

    let mut other_header = whole.clone();
    other_header.header.timestamp_ms += 1;
    assert!(matches!(other_header.to_block(), Err(InvalidJson::BlockHash { .. })));

    let mut other_nonce = whole.clone();
    let TransactionsJson::Full(transactions) = &mut other_nonce.transactions else {
        panic!("the block was made with full = true");
    };
    transactions[2].nonce += 1;
    assert!(matches!(other_nonce.to_block(), Err(InvalidJson::TransactionId { .. })));

    let mut other_order = whole;
    let TransactionsJson::Full(transactions) = &mut other_order.transactions else {
        panic!("the block was made with full = true");
    };
    transactions.swap(0, 1);
    assert!(matches!(other_order.to_block(), Err(InvalidJson::Block(_))));
}

#[test]
fn signers_must_be_an_ascending_list_of_possible_members() {
    let (_, block) = json(true);
    let certificate = block.certificate.unwrap();
    for signers in [vec![1, 0, 2], vec![0, 0, 1], vec![0, 1, 31], vec![0, 1, 32], vec![0, 1, u16::MAX]] {
        let claimed = CertificateJson { signers: signers.clone(), ..certificate.clone() };
        assert!(
            matches!(CommitCertificate::try_from(&claimed), Err(InvalidJson::Signers { .. })),
            "{signers:?}"
        );
    }
}

#[test]
fn the_text_of_a_transaction_is_what_the_documentation_shows() {
    let (world, _) = json(true);
    let transaction = world.blocks[0].body().transaction(2).unwrap();
    let json = serde_json::to_value(TransactionJson::from(&transaction)).unwrap();
    assert_eq!(json["id"], transaction.id().to_string());
    assert_eq!(json["sender"], transaction.sender.to_string());
    assert_eq!(json["nonce"], 2);
    assert_eq!(json["valid_until_ms"], 9);
    assert_eq!(json["payload"], serde_json::json!({ "kind": "data", "data": "0x0707" }));
    assert_eq!(json["signature"], transaction.signature.to_string());
    let read: TransactionJson = serde_json::from_value(json).unwrap();
    assert_eq!(Transaction::try_from(&read).unwrap(), transaction);
}

#[test]
fn governance_is_distinguished() {
    let (world, _) = json(true);
    let mut transaction = world.blocks[0].body().transaction(0).unwrap();
    transaction.payload = Payload::Governance(vec![1]);
    let json = TransactionJson::from(&transaction);
    let text = serde_json::to_string(&json).unwrap();
    assert!(text.contains(r#""payload":{"kind":"governance","data":"0x01"}"#), "{text}");
    let read: TransactionJson = serde_json::from_str(&text).unwrap();
    assert_eq!(Transaction::try_from(&read).unwrap(), transaction);
}
