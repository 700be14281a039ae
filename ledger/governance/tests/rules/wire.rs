//! Compares the section "Governance operations" of `WIRE.md` with the public API: its vectors, and
//! its tables of parameters and reasons.

use quorate_governance::{
    Change, EntryKey, EntryProof, InitialState, Member, Name, Operation, Outcome, ParameterName, Possession,
    ProposalId, Quota, Reason, Settings, State, Submit,
};
use quorate_ledger::{
    BlockHash, ChainId, Domain, Epoch, Height, PublicKey, SecretKey, encode, signing_hash, tagged_hash,
};

use crate::vectors::{DOCUMENT, Vectors};

const CHAIN: ChainId = ChainId::from_bytes([0xcc; 32]);
const PROPOSAL: ProposalId = ProposalId::from_bytes([0xdd; 32]);

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

fn key(byte: u8) -> PublicKey {
    secret(byte).public()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn changes() -> Vec<(&'static str, Change)> {
    let (consensus_key, governance_key) = (key(5), key(6));
    vec![
        ("change_add_member", Change::AddMember { name: name("bank-5"), consensus_key, governance_key }),
        ("change_remove_member", Change::RemoveMember { name: name("bank-5") }),
        (
            "change_replace_keys",
            Change::ReplaceKeys {
                name: name("bank-5"),
                consensus_key: None,
                governance_key: Some(governance_key),
            },
        ),
        ("change_revoke_client", Change::RevokeClient { key: key(7) }),
        ("change_set_parameter", Change::SetParameter { parameter: ParameterName::BatchDelay, value: 20 }),
        ("change_set_submit_mode", Change::SetSubmitMode { mode: Submit::Registry }),
    ]
}

fn possession() -> Possession {
    Possession { governance_key: key(6), consensus_key: key(8), epoch: Epoch(3) }
}

fn operations() -> Vec<(&'static str, Operation)> {
    let possession = Possession::sign(&CHAIN, key(6), &secret(8), Epoch(3));
    let changes = changes().into_iter().map(|(_, change)| change).take(2).collect();
    let quota = Some(Quota { transactions: 10, bytes: 4096 });
    vec![
        ("operation_propose", Operation::Propose { changes }),
        ("operation_approve", Operation::Approve(PROPOSAL)),
        ("operation_withdraw", Operation::Withdraw(PROPOSAL)),
        ("operation_ready", Operation::Ready { height: Height(7), block: BlockHash::from_bytes([0xbb; 32]) }),
        ("operation_rotate", Operation::Rotate { consensus_key: key(8), possession }),
        ("operation_renew", Operation::Renew),
        ("operation_add_client", Operation::AddClient { name: name("app"), key: key(7) }),
        ("operation_remove_client", Operation::RemoveClient { key: key(7) }),
        ("operation_set_client_quota", Operation::SetClientQuota { key: key(7), quota }),
    ]
}

/// The state before block 1 of a network of four members whose keys are 01…01 to 04…04.
fn state() -> State {
    let member = |byte: u8| Member {
        name: name(&format!("bank-{byte}")),
        consensus_key: key(byte),
        governance_key: key(byte),
    };
    State::initial(InitialState {
        chain: CHAIN,
        block: BlockHash::from_bytes([0xbb; 32]),
        members: (1..=4).map(member).collect(),
        settings: Settings::default(),
        clients: Vec::new(),
    })
    .unwrap()
}

fn check_state(vectors: &mut Vectors) {
    let state = state();
    let root = state.root();
    let entry = EntryKey::Member(name("bank-1"));
    let value = encode(state.next_config().member(&name("bank-1")).unwrap());
    let proof: EntryProof = state.prove(&entry);
    assert_eq!(proof.verify(&root, &entry, Some(&value)), Ok(()));
    let absent = EntryKey::Client(key(7));
    assert_eq!(state.prove(&absent).verify(&root, &absent, None), Ok(()));

    vectors.check("state_empty", tagged_hash(Domain::StateEmpty, &[]).as_bytes());
    vectors.check("state_head", &encode(state.head()));
    vectors.check("state_settings", &encode(state.next_config().settings()));
    vectors.check("state_member_key", &encode(&entry));
    vectors.check("state_member_path", tagged_hash(Domain::StateKey, &[&encode(&entry)]).as_bytes());
    vectors.check("state_member_value", &value);
    vectors.check("state_member_proof", &encode(&proof));
    vectors.check("state_client_key", &encode(&absent));
    vectors.check("state_client_absence", &encode(&state.prove(&absent)));
    vectors.check("governance_root", root.as_bytes());
}

#[test]
fn every_vector_is_what_the_code_computes() {
    let mut vectors = Vectors::parse(DOCUMENT, "governance");
    for (label, change) in changes() {
        vectors.check(label, &encode(&change));
    }
    for (label, operation) in operations() {
        let bytes = operation.to_bytes();
        assert_eq!(Operation::decode(&bytes).unwrap(), operation);
        vectors.check(label, &bytes);
    }
    vectors.check("possession", &encode(&possession()));
    vectors.check("possession_signing_hash", signing_hash(&CHAIN, &possession()).as_bytes());
    vectors.check("outcome_executed", &encode(&Outcome::Executed));
    vectors.check("outcome_not_ready", &encode(&Outcome::Failed(Reason::NotReady)));
    check_state(&mut vectors);
    vectors.finish().unwrap_or_else(|problems| panic!("WIRE.md:\n{problems}"));
}

/// The rows of a table whose first cell is a byte.
fn rows(heading: &str) -> Vec<(u8, String)> {
    let (_, rest) = DOCUMENT.split_once(heading).unwrap();
    let table =
        rest.lines().skip_while(|line| !line.starts_with("| `")).take_while(|line| line.starts_with('|'));
    let cells = table.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`'));
        let byte = u8::from_str_radix(cells.next().unwrap(), 16).unwrap();
        (byte, cells.next().unwrap().to_owned())
    });
    cells.collect()
}

#[test]
fn every_parameter_and_every_reason_is_documented_with_its_byte() {
    let parameters: Vec<_> =
        ParameterName::ALL.iter().map(|name| (encode(name)[0], name.path().to_owned())).collect();
    assert_eq!(rows("A **parameter** is one byte"), parameters);
    let reasons: Vec<_> =
        Reason::ALL.iter().map(|reason| (encode(reason)[0], reason.code().to_owned())).collect();
    assert_eq!(rows("The reasons of a failure"), reasons);
}
