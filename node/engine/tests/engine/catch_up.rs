//! Members that are behind fetch certified blocks, and nothing else (R12).

use std::time::Duration;

use quorate_engine::{
    CheckedRange, Event, Fatal, FetchId, FetchRequest, FetchResponse, Fetched, Notice, RangeBlock, RunError,
    serve_range,
};
use quorate_ledger::{Ballot, Block, BlockHash, CommitCertificate, Epoch, Header, Height, ReplicaId, View};
use quorate_pbft::{Checked, HighWaterMark, Status};
use quorate_store::{ForgetfulDisk, Ledger};

use crate::net::{Net, Parcel, id};

fn claim(block: &Block, certificate: Option<CommitCertificate>) -> RangeBlock {
    RangeBlock { header: block.header().clone(), body: block.body().as_bytes().to_vec(), certificate }
}

/// A range in which every block has its own certificate.
fn run_of(net: &Net, blocks: &[Block]) -> Vec<RangeBlock> {
    blocks.iter().map(|block| claim(block, Some(net.certificate(block)))).collect()
}

fn check(net: &Net, run: Vec<RangeBlock>) -> Result<CheckedRange, RunError> {
    CheckedRange::check(run, net.genesis.anchor(), net.genesis.consensus().window)
}

fn status(net: &Net, height: u64) -> Checked {
    let status = Status {
        epoch: Epoch(0),
        view: View(0),
        active: true,
        committed: Height(height),
        committed_hash: BlockHash::from_bytes([0; 32]),
        stable: Height(0),
        mark: HighWaterMark::default(),
        probing: false,
        superseded: None,
        slots: Vec::new(),
    };
    let message = quorate_pbft::Message::Status(status);
    message
        .check(
            id(1),
            &net.genesis.chain_id(),
            Epoch(0),
            net.genesis.committee(),
            net.genesis.consensus().window,
        )
        .unwrap()
}

/// Member 3 receives the STATUS of member 1 with this height. Its request is answered with this
/// range.
fn answer(net: &mut Net, height: u64, run: Vec<RangeBlock>) -> Result<Vec<Block>, Fatal> {
    let message = status(net, height);
    net.handle(3, [Event::Consensus { from: id(1), message }]);
    let asked = net.queue.iter().find_map(|(_, to, parcel)| match parcel {
        Parcel::Ask(fetch, FetchRequest::Blocks { .. }) => Some((*fetch, *to)),
        _ => None,
    });
    let (fetch, from) = asked.expect("it is far behind");
    net.queue.clear();
    let run = check(net, run).unwrap();
    let answer = Some(Fetched::Range(run));
    drop(net.try_handle(3, [Event::Answered { fetch, from, answer }])?);
    Ok(net.nodes[3].committed.clone())
}

#[test]
fn a_late_member_fetches_the_whole_chain() {
    let mut net = Net::of(4);
    net.power_loss(3);
    net.commit_each(0..20);
    net.open(3);
    net.deliver_all();
    net.pass(Duration::from_secs(3));
    assert_eq!(net.ids(3), net.ids(0));
    let stands = net.overview(3);
    assert_eq!((stands.counters.caught_up, stands.durable), (20, Height(20)));
    assert!(!stands.catching_up);
    net.commit_each(20..21);
    assert_eq!(net.height(3), 21, "and takes part again");
}

/// A chain of more blocks than one answer holds: a member requests blocks until it has them all.
#[test]
fn a_long_chain_is_served_in_several_ranges() {
    let net = Net::of(4);
    let blocks = net.chain_of(600);
    let mut ledger = Ledger::create_on(ForgetfulDisk::new().attach(), net.genesis.header()).unwrap();
    for block in &blocks {
        ledger.append(std::slice::from_ref(block), &net.certificate(block)).unwrap();
    }
    let (reader, mut from, mut lengths) = (ledger.reader(), Height(1), Vec::new());
    while let FetchResponse::Blocks(run) = serve_range(&reader, from).unwrap() {
        from = from.plus(run.len() as u64);
        lengths.push(run.len());
        assert!(check(&net, run).is_ok());
    }
    assert_eq!(lengths, [256, 256, 88]);
    assert_eq!(
        serve_range(&reader, Height(0)).unwrap(),
        FetchResponse::Nothing,
        "every node has the genesis"
    );
}

/// A served range ends in a certified block, even if others are above it.
#[test]
fn a_served_range_ends_in_a_certified_block() {
    let net = Net::of(4);
    let blocks = net.chain_of(300);
    let mut ledger = Ledger::create_on(ForgetfulDisk::new().attach(), net.genesis.header()).unwrap();
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

    assert_eq!(check(&net, Vec::new()), Err(RunError::Open));
    let mut open = good();
    open[2].certificate = None;
    assert_eq!(check(&net, open), Err(RunError::Open));

    let mut body = good();
    body[1].body.push(0);
    assert!(matches!(check(&net, body), Err(RunError::Body(_))));
    let mut swapped = good();
    swapped[1].body = swapped[0].body.clone();
    assert!(matches!(check(&net, swapped), Err(RunError::Block(_))));

    let mut gap = good();
    gap.remove(1);
    assert!(matches!(check(&net, gap), Err(RunError::Block(_))));

    let mut misplaced = good();
    misplaced[1].certificate = misplaced[0].certificate.clone();
    assert_eq!(check(&net, misplaced), Err(RunError::Misplaced(Height(2))));

    let mut forged = good();
    let ballot = *net.certificate(&blocks[1]).ballot();
    let votes = net.certificate(&blocks[0]).votes().clone();
    forged[1].certificate = Some(CommitCertificate::claimed(ballot, votes));
    assert!(matches!(check(&net, forged), Err(RunError::Certificate(_))));
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
            let expected = RunError::Stripped { height, limit: most };
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
        Header { epoch: Epoch(1), ..blocks[0].header().clone() },
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

/// R12b: a member that claims heights that it cannot prove is asked once for each claim.
#[test]
fn a_false_claim_costs_one_request() {
    let mut net = Net::of(4);
    net.log.clear();
    let message = status(&net, u64::MAX);
    net.handle(3, [Event::Consensus { from: id(1), message }]);
    net.pass(Duration::from_millis(900));
    let requests = |net: &Net| {
        net.log
            .iter()
            .filter(|(.., parcel)| matches!(parcel, Parcel::Ask(_, FetchRequest::Blocks { .. })))
            .count()
    };
    assert_eq!(requests(&net), 1);
    assert_eq!(net.overview(3).heads[&id(1)], Height(0));
    net.commit_each(0..2);
    assert_eq!(net.height(3), 2, "and ordering is not delayed");
    assert!(matches!(net.nodes[3].notices[0], Notice::CatchingUp { target: Height(u64::MAX), .. }));
}

/// Votes that waited for a block of the range finalise the blocks above it before the range reaches
/// them.
#[test]
fn votes_and_a_range_may_finalise_the_same_blocks() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(12);
    // Member 3 has all proposals but the first, all transactions, and all COMMITs of the others.
    let transactions: Vec<_> = blocks
        .iter()
        .flat_map(|block| block.body().transactions())
        .map(|transaction| transaction.verify(&net.genesis.chain_id()).unwrap())
        .collect();
    let mut events = vec![Event::Gossiped(transactions)];
    for block in &blocks[1..6] {
        events.push(Event::Consensus { from: id(0), message: net.proposal(block) });
        for member in 0..3 {
            let message = net.check(id(member), net.commit_vote(member, block));
            events.push(Event::Consensus { from: id(member), message });
        }
    }
    net.handle(3, events);
    assert_eq!(net.height(3), 0);
    let run = run_of(&net, &blocks);
    let committed = answer(&mut net, 12, run).unwrap();
    assert_eq!(committed, blocks, "each once and in order");
    assert_eq!(net.height(3), 12);
}

/// R13c: a record of a block that becomes final on top of a fetched range is written only when the
/// range is durable in the ledger, since the journal does not contain fetched blocks. Otherwise the
/// journal would refer to blocks whose parents are lost. Here the disk fails in between.
#[test]
fn fetched_blocks_are_durable_before_records_that_depend_on_them() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(12);
    let transactions: Vec<_> = blocks
        .iter()
        .flat_map(|block| block.body().transactions())
        .map(|transaction| transaction.verify(&net.genesis.chain_id()).unwrap())
        .collect();
    let mut events = vec![Event::Gossiped(transactions)];
    for block in &blocks[1..6] {
        events.push(Event::Consensus { from: id(0), message: net.proposal(block) });
        for member in 0..3 {
            let message = net.check(id(member), net.commit_vote(member, block));
            events.push(Event::Consensus { from: id(member), message });
        }
    }
    net.handle(3, events);
    let run = check(&net, run_of(&net, &blocks)).unwrap();
    net.nodes[3].ledger.fail_sync_after(0);
    let answer = Event::Answered { fetch: FetchId(99), from: id(0), answer: Some(Fetched::Range(run)) };
    assert!(net.try_handle(3, [answer]).is_err(), "the disk fails, so the node stops");
    net.power_loss(3);
    net.open(3);
    let stands = net.overview(3);
    assert_eq!((net.height(3), stands.in_flight), (0, 0), "no record depends on lost blocks");
}

/// A fetched block may contain transactions that a member still has in its pool or in a proposal.
#[test]
fn fetched_transactions_leave_the_pool_and_the_requests() {
    let mut net = Net::of(4);
    let blocks = net.chain_of(12);
    let first = blocks[0].body().transaction(0).unwrap().verify(&net.genesis.chain_id()).unwrap();
    net.handle(3, [Event::Gossiped(vec![first.clone()])]);
    let other = net.block_on(net.genesis.header(), &[first, net.transaction(5)]);
    let message = net.proposal(&other);
    net.handle(3, [Event::Consensus { from: id(0), message }]);
    assert_eq!(net.overview(3).examining, 1);
    let run = run_of(&net, &blocks);
    answer(&mut net, 12, run).unwrap();
    let stands = net.overview(3);
    assert_eq!((stands.examining, stands.in_flight, stands.mempool.transactions), (0, 0, 0));
}

/// The range that a member would answer with.
fn run_from(net: &Net, member: usize, from: u64) -> CheckedRange {
    let answer = serve_range(&net.engine(member).reader(), Height(from)).unwrap();
    let FetchResponse::Blocks(run) = answer else { panic!("it has blocks") };
    check(net, run).unwrap()
}

/// A member with a slow clock holds a proposal that the others commit. Its process is paused until
/// its clock accepts the proposal. Then it first reads a range with that block and the next one.
/// Both are appended, in order.
#[test]
fn a_range_is_appended_above_a_held_block_that_becomes_final() {
    let mut net = Net::of(4);
    net.nodes[3].ahead_ms = -2000;
    net.submit(0, &net.transaction(1)).unwrap();
    net.deliver_all();
    assert_eq!((net.height(0), net.height(3)), (1, 0));
    net.lose(|_, to, _| to == id(3));
    net.pass(Duration::from_millis(100));
    net.submit(0, &net.transaction(2)).unwrap();
    net.deliver_all();
    assert_eq!((net.height(0), net.height(3)), (2, 0));
    let run = run_from(&net, 0, 1);
    net.now += Duration::from_secs(2);
    net.handle(3, [Event::Answered { fetch: FetchId(99), from: id(0), answer: Some(Fetched::Range(run)) }]);
    assert_eq!(net.ids(3), net.ids(0));
}

/// A disconnected member does not answer: the next member that is ahead is asked at once.
#[test]
fn a_request_for_blocks_to_a_disconnected_member_goes_to_the_next() {
    let mut net = Net::of(4);
    let asked = |net: &Net| -> Vec<_> {
        let asks = net
            .queue
            .iter()
            .filter(|(.., parcel)| matches!(parcel, Parcel::Ask(_, FetchRequest::Blocks { .. })));
        asks.map(|(_, to, _)| *to).collect()
    };
    let events = [1, 2].map(|from| Event::Consensus { from: id(from), message: status(&net, 100) });
    net.handle(3, events);
    assert_eq!(asked(&net), [id(1)]);
    net.handle(3, [Event::PeerDown(id(1))]);
    assert_eq!(asked(&net), [id(1), id(2)]);
    assert!(!net.overview(3).heads.contains_key(&id(1)), "its claim counts again when it is back");
}

/// R12b: the quorum may need this member, and this member may need the missing block. So f members
/// that do not answer must not delay it, whether the gap is short or long, and whatever they claim.
#[test]
fn members_that_do_not_answer_are_not_waited_for() {
    for (size, blocks) in [(4, 1), (7, 1), (10, 1), (4, 20), (7, 20), (10, 20)] {
        let mut net = Net::of(size);
        let late = id(size - 1);
        let faults = u16::try_from(net.genesis.committee().faults()).unwrap();
        net.lose(move |_, to, parcel| {
            let silent = to.0 < faults && matches!(parcel, Parcel::Ask(_, FetchRequest::Blocks { .. }));
            silent || to == late && !parcel.is_status() && !matches!(parcel, Parcel::FetchResponse(..))
        });
        net.pass(Duration::from_secs(1));
        net.commit_each(0..blocks);
        assert_eq!(net.height(size - 1), 0);
        for faulty in 0..faults {
            let message = status(&net, u64::MAX);
            net.handle(size - 1, [Event::Consensus { from: ReplicaId(faulty), message }]);
        }
        let interval = Duration::from_millis(net.genesis.consensus().status_interval_ms);
        // It learns of the blocks by the next STATUS, and waits an interval before it asks for a
        // short gap.
        net.pass(2 * interval + interval * u32::from(faults) / 2);
        assert_eq!(net.height(size - 1), blocks, "{size} members");
    }
}

/// R12b: over a slow connection a member does not request the same blocks for ever. Each request
/// that expires gives the next one more time.
#[test]
fn requests_that_expire_lengthen_the_wait() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| matches!(parcel, Parcel::Ask(..) | Parcel::Consensus(..)));
    let events = [0, 1, 2].map(|from| Event::Consensus { from: id(from), message: status(&net, 100) });
    net.handle(3, events);
    let mut asked = Vec::new();
    for _ in 0..25_000 {
        net.now += Duration::from_millis(10);
        let before = net.nodes[3].notices.len();
        net.handle(3, []);
        net.queue.clear();
        asked.extend(net.nodes[3].notices[before..].iter().map(|_| net.now));
    }
    let waits: Vec<Duration> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.is_sorted() && waits[0] < Duration::from_millis(600), "{waits:?}");
    assert_eq!(waits.last(), Some(&Duration::from_secs(10)), "never more");
}

/// A fetched block replaces a block that was in flight here. It is later than the last time at
/// which the dropped transactions may be ordered. So they expire at once, without a further block.
#[test]
fn a_returned_transaction_that_is_too_late_expires_at_once() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_old_vote());
    let hurried = net.transaction_until(1, net.wall().plus_ms(500));
    net.submit(0, &hurried).unwrap();
    net.deliver_all();
    assert_eq!(net.overview(3).mempool.in_flight, 1);
    net.power_loss(0);
    net.open(0);
    net.lose(|from, to, parcel| from == id(3) || to == id(3) || parcel.is_old_vote());
    net.submit(1, &net.transaction(2)).unwrap();
    net.pass(Duration::from_secs(8));
    assert_eq!((net.height(1), net.height(3)), (1, 0));
    let run = run_from(&net, 1, 1);
    net.handle(3, [Event::Answered { fetch: FetchId(99), from: id(1), answer: Some(Fetched::Range(run)) }]);
    assert_eq!(net.nodes[3].ended, [hurried.id()]);
    assert_eq!(net.overview(3).mempool.transactions, 0);
}
