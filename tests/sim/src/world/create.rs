//! Creates the network of a run: files, members, and the shared state of Byzantine members.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use quorate_genesis::Genesis;
use quorate_ledger::{ReplicaId, SecretKey, SignatureCache, Timestamp};
use quorate_store::{ForgetfulDisk, Ledger};

use crate::byzantine::{Adversary, Collusion, Lie};
use crate::clients::operators::Operators;
use crate::clients::orders::Orders;
use crate::members::{Member, Slot, WallClock};
use crate::network::SimNet;
use crate::occasions::knobs::{Fault, Knobs};
use crate::oracle::answers::Answers;
use crate::oracle::chain::Chain;
use crate::oracle::coverage::Coverage;
use crate::oracle::epochs::Epochs;
use crate::oracle::watch::Watch;
use crate::random::Random;
use crate::world::World;
use crate::world::agenda::Agenda;
use crate::world::trace::Trace;

impl World {
    /// A network with new files, at the start of its run.
    pub fn new(seed: u64, knobs: Knobs, mut random: Random, shown: bool) -> Self {
        let network = knobs.network(seed);
        let seats = network.genesis().committee().replicas();
        let governance_keys = seats.map(|seat| network.governance_key(seat).clone()).collect();
        let (genesis, keys) = network.into_parts();
        let start = Timestamp(genesis.time().0 + 1_000_000);
        let ledger = empty_ledger(&genesis);
        let mut members = new_members(&genesis, keys, start, &ledger, &knobs, &mut random);
        let mut operators = Operators::new(governance_keys, &knobs, &random);
        let mut collusion = Collusion::new(&genesis, keys_of_byzantine(&members, &knobs), random.split());
        corrupt(&mut members, &mut collusion, &genesis, &ledger, &knobs, &mut random);
        add_candidates(&mut members, &mut operators, &genesis, start, &ledger, &knobs);
        let chain = Chain::new(&genesis);
        World {
            net: SimNet::new(&knobs, random.split()),
            orders: Orders::new(&genesis, &knobs, start, random.split()),
            signatures: Rc::new(SignatureCache::new(genesis.chain_id(), 100_000)),
            epochs: Epochs::new(&knobs, chain.state().next_config(), genesis.header()),
            chain,
            operators,
            watch: Watch::default(),
            collusion,
            filter: None,
            answers: Answers::default(),
            trace: Trace::new(shown),
            coverage: Coverage::default(),
            agenda: Agenda::default(),
            buried: Vec::new(),
            severed: Vec::new(),
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
}

/// The members of the committee, all of them correct, with random clocks.
fn new_members(
    genesis: &Genesis,
    keys: Vec<SecretKey>,
    start: Timestamp,
    ledger: &ForgetfulDisk,
    knobs: &Knobs,
    random: &mut Random,
) -> Vec<Member> {
    let mut new_member = |(replica, key)| {
        let skew = random.between(0, 2 * knobs.skew_ms);
        let drift = random.between(0, 400);
        let clock = WallClock {
            start,
            ahead_ms: i64::try_from(skew).expect("small") - i64::try_from(knobs.skew_ms).expect("small"),
            drift_ppm: i64::try_from(drift).expect("small") - 200,
        };
        Member::new(genesis, ledger.copy(), replica, key, clock)
    };
    genesis.committee().replicas().zip(keys).map(&mut new_member).collect()
}

fn keys_of_byzantine(members: &[Member], knobs: &Knobs) -> BTreeMap<ReplicaId, SecretKey> {
    let byzantine = knobs.faulty.iter().filter(|(_, fault)| matches!(fault, Fault::Lies(_)));
    byzantine.map(|(index, _)| (members[*index].replica, members[*index].keys[0].clone())).collect()
}

/// Makes the members faulty that the parameters name, and adds the second machines of twins.
fn corrupt(
    members: &mut Vec<Member>,
    collusion: &mut Collusion,
    genesis: &Genesis,
    ledger: &ForgetfulDisk,
    knobs: &Knobs,
    random: &mut Random,
) {
    for (index, fault) in &knobs.faulty {
        let Fault::Lies(lies) = fault else {
            members[*index].slot = Slot::Silent;
            continue;
        };
        let replica = members[*index].replica;
        members[*index].adversary = Some(Adversary::new(replica, lies, collusion));
        if lies.contains(&Lie::Twin) {
            let disk = ledger.copy();
            let twin = twin_of(members, *index, genesis, disk, random);
            members.push(Member { adversary: Some(Adversary::new(replica, lies, collusion)), ..twin });
        }
    }
}

/// Machines of members that may be added later.
fn add_candidates(
    members: &mut Vec<Member>,
    operators: &mut Operators,
    genesis: &Genesis,
    start: Timestamp,
    ledger: &ForgetfulDisk,
    knobs: &Knobs,
) {
    for _ in 0..knobs.candidates {
        let replica = ReplicaId(u16::try_from(members.len()).expect("machines are few"));
        let key = operators.new_key();
        operators.add_candidate(replica, key.public());
        let clock = WallClock { start, ahead_ms: 0, drift_ppm: 0 };
        let disk = ledger.copy();
        members.push(Member { slot: Slot::Outside, ..Member::new(genesis, disk, replica, key, clock) });
    }
}

/// The disk of a ledger with only the genesis.
fn empty_ledger(genesis: &Genesis) -> ForgetfulDisk {
    let disk = ForgetfulDisk::new();
    Ledger::create_on(disk.attach(), genesis.header(), &genesis.governance_state())
        .expect("the disk is empty");
    disk
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
        (first.identity, first.keys[0].clone(), first.clock)
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
