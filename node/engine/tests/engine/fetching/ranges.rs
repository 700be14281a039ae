//! Which certified block ranges members serve, accept and refuse (R12).

use std::time::Duration;

use quorate_engine::{Event, Fatal, FetchRequest, FetchResponse, Notice, RangeError, serve_range};
use quorate_ledger::{
    Ballot, Block, BlockHash, CertificateError, CommitCertificate, Epoch, Hash, Header, Height,
};
use quorate_store::{ForgetfulDisk, Ledger};

use super::{answer, check, claim, run_of};
use crate::net::{Net, Parcel, id};

/// A served range ends in a certified block, even if others are above it.
#[test]
fn a_served_range_ends_in_a_certified_block() {
    let net = Net::of(4);
    let blocks = net.chain_of(300);
    let mut ledger = Ledger::create_on(
        ForgetfulDisk::new().attach(),
        net.genesis.header(),
        &net.genesis.governance_state(),
    )
    .unwrap();
    for group in blocks.chunks(7) {
        ledger.append(group, &net.certificate(group.last().unwrap())).unwrap();
    }
    let FetchResponse::Blocks(run) = serve_range(&ledger.reader(), Height(3)).unwrap() else {
        panic!("no range")
    };
    assert_eq!(run.len(), 250, "up to height 252, the last multiple of 7");
    assert!(check(&net, run).is_ok());
}

#[test]
fn invalid_block_ranges_are_refused() {
    let net = Net::of(4);
    let blocks = net.chain_of(3);
    let good = || run_of(&net, &blocks);
    assert_eq!(check(&net, good()).unwrap().len(), 3);

    assert_eq!(check(&net, Vec::new()), Err(RangeError::Open));
    let mut open = good();
    open[2].certificate = None;
    assert_eq!(check(&net, open), Err(RangeError::Open));

    let mut body = good();
    body[1].body.push(0);
    assert!(matches!(check(&net, body), Err(RangeError::Body(_))));
    let mut swapped = good();
    swapped[1].body = swapped[0].body.clone();
    assert!(matches!(check(&net, swapped), Err(RangeError::Block(_))));

    let mut gap = good();
    gap.remove(1);
    assert!(matches!(check(&net, gap), Err(RangeError::Block(_))));

    let mut misplaced = good();
    misplaced[1].certificate = misplaced[0].certificate.clone();
    assert_eq!(check(&net, misplaced), Err(RangeError::Misplaced(Height(2))));

    let mut forged = good();
    let ballot = *net.certificate(&blocks[1]).ballot();
    let votes = net.certificate(&blocks[0]).votes().clone();
    forged[1].certificate = Some(CommitCertificate::claimed(ballot, votes));
    assert!(matches!(check(&net, forged), Err(RangeError::Certificate(_))));
}

/// R12d: a certificate finalises at most 2 W + 1 blocks. The ledger could store more, but could not
/// serve them in one answer.
#[test]
fn a_range_without_its_certificates_is_refused() {
    for window in [1, 8, 32] {
        let net = Net::with(4, |parameters| {
            parameters.consensus.window = window;
            parameters.block.max_body_bytes = 500_000;
        });
        let most = usize::try_from(2 * window + 1).unwrap();
        let blocks = net.chain_of(2 * window + 6);
        let stripped = |from: usize, to: usize| {
            let mut run = run_of(&net, &blocks);
            run[from..to].iter_mut().for_each(|block| block.certificate = None);
            run
        };
        assert!(check(&net, stripped(0, most - 1)).is_ok(), "the block above them is certified");
        assert!(check(&net, stripped(3, most + 2)).is_ok());
        for from in [0, 4] {
            let height = Height(u64::try_from(from + most).unwrap());
            let expected = RangeError::Stripped { height, limit: most };
            assert_eq!(check(&net, stripped(from, from + most)), Err(expected), "W = {window}");
        }
    }
}

/// Heights at the end of 64 bits, every block certified. No height follows the highest number, and
/// the check refuses one that claims to.
#[test]
fn ranges_at_extreme_heights_are_checked_and_refused() {
    let mut net = Net::of(4);
    let first = net.chain_of(1).remove(0);
    let at = |height: u64, parent: BlockHash, time: u64| {
        let header = Header {
            height: Height(height),
            parent,
            timestamp: first.header().timestamp.plus_ms(time),
            ..first.header().clone()
        };
        Block::new(header, first.body().clone()).unwrap()
    };
    let edges = [0, 1, i64::MAX as u64, u64::MAX - 64, u64::MAX - 1, u64::MAX];
    for (below, above) in edges.into_iter().flat_map(|below| edges.map(|above| (below, above))) {
        for certified_below in [true, false] {
            let parent = at(below, net.genesis.header().hash(), 1);
            let child = at(above, parent.hash(), 2);
            let certificate = certified_below.then(|| net.certificate(&parent));
            let run = vec![claim(&parent, certificate), claim(&child, Some(net.certificate(&child)))];
            let follows = below.checked_add(1) == Some(above);
            assert_eq!(check(&net, run).is_ok(), follows, "{above} on {below}");
        }
    }
    for height in [0, 2, u64::MAX - 1, u64::MAX] {
        let parent = at(height, net.genesis.header().hash(), 1);
        let run = vec![claim(&parent, Some(net.certificate(&parent)))];
        assert_eq!(answer(&mut net, u64::MAX, run).unwrap(), [], "it does not continue the chain");
    }
    let reader = net.engine(3).reader();
    for from in edges {
        assert_eq!(serve_range(&reader, Height(from)).unwrap(), FetchResponse::Nothing);
    }
    net.commit_each(0..2);
    assert_eq!(net.height(3), 2);
}

/// R12d: an epoch ends with a certificate of its own committee. Votes of another epoch are no votes
/// of this committee, although the keys are the same.
#[test]
fn a_range_beyond_its_epoch_is_refused() {
    let net = Net::of(4);
    let last = net.chain_of(1).remove(0);
    let header = Header { next_committee: Hash::from_bytes([9; 32]), ..last.header().clone() };
    let last = Block::new(header, last.body().clone()).unwrap();
    let time = last.header().timestamp.plus_ms(1);
    let next = Block::after(last.header(), last.body().clone(), time, id(0)).unwrap();
    let run = vec![claim(&last, None), claim(&next, Some(net.certificate(&next)))];
    assert_eq!(check(&net, run), Err(RangeError::EpochEnd(Height(1))));
    let ballot = Ballot { epoch: next.header().epoch, ..*net.certificate(&next).ballot() };
    let run =
        vec![claim(&last, Some(net.certificate(&last))), claim(&next, Some(net.certificate_of(ballot)))];
    let refusal = CertificateError::Epoch { wanted: Epoch(0), got: Epoch(1) };
    assert_eq!(check(&net, run), Err(RangeError::Certificate(refusal)));
}

/// R12d: a faulty member answers with genuine blocks and removes all certificates but the last. The
/// requesting member refuses the range and asks the next member.
#[test]
fn a_range_without_certificates_does_not_stop_the_node() {
    let mut net = Net::of(4);
    net.power_loss(3);
    net.commit_each(0..70);
    net.faulty = Some((
        0,
        Box::new(|ask, mut answer| {
            if let (FetchRequest::Blocks { .. }, FetchResponse::Blocks(run)) = (ask, &mut answer) {
                let (_, below) = run.split_last_mut().unwrap();
                below.iter_mut().for_each(|block| block.certificate = None);
            }
            answer
        }),
    ));
    net.open(3);
    net.deliver_all();
    net.pass(Duration::from_secs(3));
    let asked = net.log.iter().filter(|(from, .., parcel)| {
        *from == id(0)
            && matches!(parcel, Parcel::FetchResponse(_, FetchResponse::Blocks(run)) if run.len() > 65)
    });
    assert!(asked.count() > 0, "the faulty member was asked");
    assert_eq!(net.ids(3), net.ids(1));
    // The stored blocks can be served, since the ledger has every certificate.
    let FetchResponse::Blocks(run) = serve_range(&net.engine(3).reader(), Height(1)).unwrap() else {
        panic!("no range")
    };
    assert_eq!(check(&net, run).unwrap().len(), 70);
}

/// R12d: blocks that the ledger refuses leave it unchanged, and the answering member is at fault.
/// Only the disk stops a node. Here a quorum has certified a block that breaks a rule.
#[test]
fn blocks_that_the_ledger_refuses_do_not_stop_the_node() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(20);
    let parent = net.genesis.header();
    let broken = [
        Header { timestamp: parent.timestamp, ..blocks[0].header().clone() },
        Header { version: 9, ..blocks[0].header().clone() },
    ];
    for header in broken {
        let block = Block::new(header, blocks[0].body().clone()).unwrap();
        let ballot = Ballot { epoch: block.header().epoch, ..*net.certificate(&block).ballot() };
        let run = vec![claim(&block, Some(net.certificate_of(ballot)))];
        net.nodes[3].notices.clear();
        assert_eq!(answer(&mut net, 20, run).unwrap(), []);
        let told = |notice: &Notice| matches!(notice, Notice::BadBlocks { height: Height(1), .. });
        assert!(net.nodes[3].notices.iter().any(told), "{:?}", net.nodes[3].notices);
        assert_eq!(net.overview(3).heads[&id(1)], Height(0), "another member is asked next");
    }
    let run = run_of(&net, &blocks);
    assert_eq!(answer(&mut net, 40, run).unwrap(), blocks);
}

/// A request selects which blocks are read. A block that the disk has damaged is not served, intact
/// ones are, and the node continues.
#[test]
fn a_damaged_block_is_not_served_and_does_not_stop_the_node() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    let body = net.engine(3).reader().block(Height(1)).unwrap().unwrap().body().as_bytes().to_vec();
    // A start reads the blocks of one lifetime.
    net.pass(Duration::from_millis(net.genesis.block_limits().transaction.max_lifetime_ms + 1));
    net.commit_each(2..4);
    net.pass(Duration::from_secs(2));
    net.power_loss(3);
    let mut contents = net.nodes[3].ledger.contents();
    let places: Vec<usize> =
        (0..contents.len() - body.len()).filter(|place| contents[*place..].starts_with(&body)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| contents[place] ^= 0xff);
    net.nodes[3].ledger = ForgetfulDisk::with_contents(contents);
    net.open(3);
    net.deliver_all();
    assert!(net.engine(3).reader().block(Height(1)).is_err());
    let mut ask = |from| {
        let ticket = net.ticket();
        let asked = Event::Asked { ticket, ask: FetchRequest::Blocks { from: Height(from) } };
        let [(_, answer)] = <[_; 1]>::try_from(net.outcome(3, [asked]).answers).unwrap();
        answer
    };
    assert_eq!(ask(1), FetchResponse::Nothing);
    assert!(matches!(ask(2), FetchResponse::Blocks(run) if run.len() == 3));
    net.commit_each(4..5);
    assert_eq!(net.height(3), 5);
}

#[test]
fn a_range_that_leaves_a_gap_above_the_tip_changes_nothing() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(20);
    let run = run_of(&net, &blocks[5..]);
    assert_eq!(answer(&mut net, 20, run).unwrap(), []);
    // The member that sent it counts as not ahead, until its next STATUS.
    assert_eq!(net.overview(3).heads[&id(1)], Height(0));
    assert!(!net.overview(3).catching_up);
}

#[test]
fn a_range_may_begin_below_the_tip_and_one_certificate_may_cover_several_blocks() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(20);
    let run = run_of(&net, &blocks[..12]);
    assert_eq!(answer(&mut net, 20, run).unwrap().len(), 12);
    let mut run: Vec<_> = blocks.iter().map(|block| claim(block, None)).collect();
    for certified in [3, 19] {
        run[certified].certificate = Some(net.certificate(&blocks[certified]));
    }
    assert_eq!(answer(&mut net, 40, run).unwrap().len(), 20);
    assert_eq!(net.height(3), 20);
}

#[test]
fn a_certified_block_that_does_not_extend_the_chain_stops_the_node() {
    let mut net = Net::of(4);
    let ours = net.chain_of(10);
    let run = run_of(&net, &ours);
    answer(&mut net, 10, run).unwrap();
    net.now += Duration::from_secs(1);
    let theirs = net.chain_of(20);
    let run = run_of(&net, &theirs);
    assert_ne!(ours[9].hash(), theirs[9].hash());
    let error = answer(&mut net, 40, run).unwrap_err();
    assert!(matches!(error, Fatal::Fork { height: Height(11) }), "{error}");
}
