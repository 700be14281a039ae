//! Numbers at the ends of their types. Any member can sign them, so checking them must terminate
//! with the right result.
#![allow(clippy::unwrap_used)]

use quorate_ledger::{
    Ballot, Block, BlockHash, BlockLimits, Body, ChainAnchor, ChainId, Commit, CommitCertificate, Committee,
    Epoch, FinalityProof, Hash, Header, Height, MerklePath, ReplicaId, SecretKey, Signed, Timestamp,
    TransactionId, TransactionLimits, View, decode, encode, merkle_root,
};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

/// Both ends of the range, their neighbours, and the values around the change of sign.
const EDGES: [u64; 10] = [
    0,
    1,
    2,
    1 << 32,
    i64::MAX as u64,
    i64::MAX as u64 + 1,
    u64::MAX - 65,
    u64::MAX - 2,
    u64::MAX - 1,
    u64::MAX,
];

const COUNTS: [u32; 7] = [0, 1, 2, 10_000, u32::MAX / 2, u32::MAX - 1, u32::MAX];

fn pairs() -> impl Iterator<Item = (u64, u64)> {
    EDGES.into_iter().flat_map(|first| EDGES.into_iter().map(move |second| (first, second)))
}

fn keys() -> Vec<SecretKey> {
    let mut keys: Vec<SecretKey> = (1..=4).map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    keys
}

fn anchor() -> ChainAnchor {
    let committee = Committee::new(Epoch(0), keys().iter().map(SecretKey::public).collect()).unwrap();
    ChainAnchor::new(CHAIN, committee)
}

fn header(anchor: &ChainAnchor, height: u64, parent: BlockHash, time: u64) -> Header {
    Header {
        height: Height(height),
        parent,
        ..Header::genesis(CHAIN, anchor.newest().hash(), Timestamp(time))
    }
}

/// A certificate that every member signed.
fn certificate(anchor: &ChainAnchor, ballot: Ballot) -> CommitCertificate {
    let commits: Vec<_> = (0..)
        .zip(&keys())
        .map(|(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot)))
        .collect();
    CommitCertificate::assemble(anchor.newest(), ballot, &commits).unwrap().into_inner()
}

fn comes_after(second: u64, first: u64) -> bool {
    u128::from(second) == u128::from(first) + 1
}

#[test]
fn a_height_follows_the_one_below_it_and_no_other() {
    for (first, second) in pairs() {
        assert_eq!(Height(second).follows(Height(first)), comes_after(second, first), "{second} on {first}");
    }
    assert_eq!((Height(u64::MAX).next(), View(u64::MAX).next()), (Height(u64::MAX), View(u64::MAX)));
    assert_eq!((Height(0).previous(), Height(u64::MAX).plus(u64::MAX)), (None, Height(u64::MAX)));
}

#[test]
fn a_header_follows_its_parent_at_every_height_and_time() {
    let anchor = anchor();
    for (first, second) in pairs() {
        for (earlier, later) in pairs() {
            let parent = header(&anchor, first, BlockHash::from_bytes([5; 32]), earlier);
            let child = header(&anchor, second, parent.hash(), later);
            let follows = comes_after(second, first) && later > earlier;
            assert_eq!(
                child.check_follows(&parent).is_ok(),
                follows,
                "{second} at {later} on {first} at {earlier}"
            );
        }
        // A header can be made with any clock; the check decides whether it follows.
        let parent = header(&anchor, first, BlockHash::from_bytes([5; 32]), second);
        let made = Header::after(&parent, &Body::of(&[]), Timestamp(second), ReplicaId(0));
        assert_eq!(made.check_follows(&parent).is_ok(), first < u64::MAX && second < u64::MAX);
    }
}

#[test]
fn limits_of_a_block_hold_at_every_time_and_count() {
    let anchor = anchor();
    let limits = |edge: u64, count: u32| BlockLimits {
        max_transactions: count,
        max_body_bytes: count,
        transaction: TransactionLimits { max_bytes: count, max_lifetime_ms: edge },
        empty_block_gap_ms: edge,
    };
    for (earlier, later) in pairs() {
        for edge in EDGES {
            let parent = header(&anchor, 4, BlockHash::from_bytes([5; 32]), earlier);
            let child = header(&anchor, 5, parent.hash(), later);
            let early = u128::from(later) < u128::from(earlier) + u128::from(edge);
            let checked = child.check_gap(&parent, &limits(edge, 1));
            // At the end of `u64` there is no later time to wait for.
            assert_eq!(checked.is_err(), early && later < u64::MAX, "{later} after {earlier}, gap {edge}");
            let timely = limits(edge, 1).transaction.is_timely(Timestamp(earlier), Timestamp(later));
            let expected = later <= earlier && u128::from(earlier) <= u128::from(later) + u128::from(edge);
            assert_eq!(timely, expected);
        }
    }
    for (claimed, limit) in COUNTS.into_iter().flat_map(|claimed| COUNTS.map(|limit| (claimed, limit))) {
        let parent = header(&anchor, 4, BlockHash::from_bytes([5; 32]), 1);
        let counted = Header { transaction_count: claimed, ..header(&anchor, 5, parent.hash(), 2) };
        let long = Header { body_bytes: claimed, ..header(&anchor, 5, parent.hash(), 2) };
        assert_eq!(counted.check_limits(&limits(0, limit)).is_ok(), claimed <= limit);
        assert_eq!(long.check_limits(&limits(0, limit)).is_ok(), claimed <= limit);
        assert_eq!(Block::new(counted, Body::of(&[])).is_ok(), claimed == 0);
        assert_eq!(Block::new(long, Body::of(&[])).is_ok(), claimed == 0);
    }
}

/// Every member of the committee signs, so only the numbers can be refused.
#[test]
fn proofs_hold_at_every_height_that_follows() {
    let anchor = anchor();
    for (first, second) in pairs() {
        for view in [0, u64::MAX] {
            let block = header(&anchor, first, BlockHash::from_bytes([5; 32]), 7);
            let child = header(&anchor, second, block.hash(), 8);
            let ballot =
                Ballot { epoch: Epoch(0), view: View(view), height: child.height, block: child.hash() };
            let proof = FinalityProof {
                header: block,
                descendants: vec![child],
                certificate: certificate(&anchor, ballot),
            };
            let read: FinalityProof = decode(&encode(&proof)).unwrap();
            assert_eq!(read.verify(&anchor).is_ok(), comes_after(second, first), "{second} on {first}");
        }
    }
    for (height, epoch) in pairs() {
        let block = header(&anchor, height, BlockHash::from_bytes([5; 32]), 7);
        let ballot =
            Ballot { epoch: Epoch(epoch), view: View(epoch), height: block.height, block: block.hash() };
        let alone = FinalityProof {
            header: block,
            descendants: Vec::new(),
            certificate: certificate(&anchor, ballot),
        };
        assert_eq!(alone.verify(&anchor).is_ok(), epoch == 0);
    }
}

#[test]
fn every_view_of_every_epoch_has_one_primary() {
    let members: Vec<_> = keys().iter().map(SecretKey::public).collect();
    for (epoch, view) in pairs() {
        let committee = Committee::new(Epoch(epoch), members.clone()).unwrap();
        let expected = (u128::from(epoch) + u128::from(view)) % 4;
        assert_eq!(u128::from(committee.primary(View(view)).0), expected);
    }
}

#[test]
fn a_path_from_a_position_beyond_the_leaves_proves_nothing() {
    let id = TransactionId::from_bytes([3; 32]);
    for (index, count) in COUNTS.into_iter().flat_map(|index| COUNTS.map(|count| (index, count))) {
        for siblings in [0, 1, 14] {
            let path = MerklePath::from_siblings(vec![Hash::from_bytes([9; 32]); siblings]);
            let leads = path.leads_to(&merkle_root(&[id]), &id, index, count);
            assert_eq!(leads, (index, count, siblings) == (0, 1, 0), "{index} of {count}");
        }
    }
}
