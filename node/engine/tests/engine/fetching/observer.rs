//! A node without a vote follows the chain by certified blocks, and trusts no other claim.

use std::time::Duration;

use quorate_engine::{
    CheckedRange, Effects, Fatal, FetchId, FetchRequest, FetchResponse, HeadStatus, Notice, Observation,
    Observer, RangeBlock, serve_range,
};
use quorate_ledger::{Block, Body, Epoch, Header, Height, ReplicaId, Timestamp, View};
use quorate_pbft::{Moment, Now};
use quorate_store::{ForgetfulDisk, Ledger, LedgerReader};

use crate::net::{Net, id};

/// An observer on a disk in memory, with its own clock.
struct Watcher {
    observer: Option<Observer>,
    disk: ForgetfulDisk,
    now: Duration,
    /// Requests without an answer.
    asked: Vec<(ReplicaId, FetchId, Height)>,
    committed: Vec<Block>,
    notices: Vec<Notice>,
}

impl Watcher {
    fn of(net: &Net) -> Self {
        let disk = ForgetfulDisk::new();
        drop(
            Ledger::create_on(disk.attach(), net.genesis.header(), &net.genesis.governance_state()).unwrap(),
        );
        let now = Duration::from_secs(10);
        let (asked, committed, notices) = Default::default();
        let mut watcher = Watcher { observer: None, disk, now, asked, committed, notices };
        watcher.open(net);
        watcher
    }

    /// Starts it on its ledger.
    fn open(&mut self, net: &Net) {
        let ledger = Ledger::open_on(self.disk.attach(), net.genesis.header()).unwrap();
        self.observer = Some(Observer::open(ledger, None).unwrap());
        self.asked.clear();
    }

    fn power_loss(&mut self) {
        self.disk.power_loss();
        self.observer = None;
    }

    fn time(&self) -> Now {
        Now { moment: Moment(self.now), wall: Timestamp(0) }
    }

    fn running(&self) -> &Observer {
        self.observer.as_ref().unwrap()
    }

    fn height(&self) -> u64 {
        self.running().reader().head().unwrap().height.0
    }

    fn try_handle(&mut self, events: impl IntoIterator<Item = Observation>) -> Result<(), Fatal> {
        let now = self.time();
        let Effects { asks, committed, notices, messages, gossip, resends, .. } =
            self.observer.as_mut().unwrap().handle(now, events)?;
        assert!(messages.is_empty() && gossip.is_empty() && resends.is_empty(), "it sends only requests");
        self.asked.extend(asks.into_iter().map(|(to, fetch, ask)| match ask {
            FetchRequest::Blocks { from } => (to, fetch, from),
            other => panic!("it requests only blocks, not {other:?}"),
        }));
        self.committed.extend(committed);
        self.notices.extend(notices);
        Ok(())
    }

    fn handle(&mut self, events: impl IntoIterator<Item = Observation>) {
        self.try_handle(events).unwrap();
    }

    /// Receives the head status of a member with this height.
    fn hear(&mut self, from: usize, committed: u64) {
        self.handle([told(from, committed, 0, true)]);
    }

    /// Answers its oldest request from this ledger, as far as that goes.
    fn answer(&mut self, net: &Net, from: &LedgerReader) {
        let (_, fetch, height) = self.asked.remove(0);
        let range = match serve_range(from, height).unwrap() {
            FetchResponse::Blocks(range) => Some(CheckedRange::check(range, &net.context()).unwrap()),
            _ => None,
        };
        self.handle([Observation::Answered { fetch, range }]);
    }

    /// Lets time pass without answers.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.running().deadline().map(|next| next.0.max(self.now))
            && next <= end
        {
            self.now = next;
            self.handle([]);
            let again = self.running().deadline();
            assert!(again.is_none_or(|again| again.0 > self.now), "its next deadline is later");
        }
        self.now = end;
    }
}

fn told(from: usize, committed: u64, view: u64, active: bool) -> Observation {
    told_in(0, from, committed, view, active)
}

fn told_in(epoch: u64, from: usize, committed: u64, view: u64, active: bool) -> Observation {
    let (committed, stable, view) = (Height(committed), Height(committed / 2), View(view));
    let claim = HeadStatus { epoch: Epoch(epoch), committed, stable, view, active };
    Observation::Head { from: id(from), claim }
}

/// A ledger of made-up blocks, each with a certificate.
fn ledger_of(net: &Net, blocks: &[Block]) -> Ledger {
    let mut ledger = Ledger::create_on(
        ForgetfulDisk::new().attach(),
        net.genesis.header(),
        &net.genesis.governance_state(),
    )
    .unwrap();
    for block in blocks {
        ledger.append(std::slice::from_ref(block), &net.certificate(block)).unwrap();
    }
    ledger
}

#[test]
fn an_observer_follows_the_chain_and_sends_nothing() {
    let mut net = Net::of(4);
    let mut watcher = Watcher::of(&net);
    for round in 0..5 {
        net.commit_each(3 * round..3 * (round + 1));
        let claim = net.engine(1).head_claim();
        assert_eq!((claim.committed, claim.view, claim.active), (Height(net.height(1)), View(0), true));
        watcher.handle([Observation::Head { from: id(1), claim }]);
        watcher.answer(&net, &net.engine(1).reader());
        assert_eq!(watcher.height(), net.height(1));
        assert!(watcher.asked.is_empty(), "no request is left");
    }
    let ids = |blocks: &[Block]| -> Vec<_> {
        blocks.iter().flat_map(|block| block.body().ids().to_vec()).collect()
    };
    assert_eq!(ids(&watcher.committed), net.ids(0), "each once and in order");
    assert!(watcher.notices.is_empty(), "fetching a few blocks needs no notice");
    let receipt = watcher.running().reader().receipt(&net.ids(0)[7]).unwrap().unwrap();
    assert!(receipt.verify(net.genesis.anchor()).is_ok(), "and it proves what it serves");
}

/// A chain of more blocks than one answer holds: it requests blocks until it has them all, and
/// reports that it catches up.
#[test]
fn an_observer_fetches_a_long_chain_from_members_in_turns() {
    let net = Net::of(4);
    let source = ledger_of(&net, &net.chain_of(600)).reader();
    let mut watcher = Watcher::of(&net);
    watcher.handle([told(0, 600, 0, true), told(2, 600, 0, true)]);
    let mut asked = Vec::new();
    while !watcher.asked.is_empty() {
        let stands = watcher.running().overview(watcher.time());
        assert_eq!(stands.catching_up, watcher.height() < 600 - net.genesis.consensus().window);
        asked.push(watcher.asked[0].0);
        watcher.answer(&net, &source);
    }
    assert_eq!((watcher.height(), asked), (600, vec![id(0), id(2), id(0)]));
    assert!(matches!(watcher.notices[0], Notice::CatchingUp { target: Height(600), .. }));
    let stands = watcher.running().overview(watcher.time());
    assert_eq!((stands.fetched, stands.catching_up), (600, false));
}

/// R12b: a false claim costs one request each time, and the wait for members that do not answer is
/// short.
#[test]
fn faulty_and_silent_members_do_not_delay_an_observer() {
    let net = Net::of(4);
    let blocks = net.chain_of(20);
    let source = ledger_of(&net, &blocks).reader();
    let mut watcher = Watcher::of(&net);
    watcher.hear(0, u64::MAX);
    assert_eq!(watcher.asked[0].0, id(0));
    watcher.handle([told(1, 20, 0, true)]);
    assert_eq!(watcher.asked.len(), 1, "one request at a time");
    // Member 0 never answers. The wait is half a status interval divided by f + 1.
    let interval = Duration::from_millis(net.genesis.consensus().status_interval_ms);
    watcher.pass(interval / 4);
    assert_eq!(watcher.asked[1].0, id(1));
    watcher.asked.remove(0);
    watcher.answer(&net, &source);
    assert_eq!(watcher.height(), 20);

    // It is asked last while it claims more, and its answers contain nothing.
    let (to, fetch, _) = watcher.asked.pop().unwrap();
    assert_eq!(to, id(0));
    watcher.handle([Observation::Answered { fetch, range: None }]);
    assert!(watcher.asked.is_empty(), "it counts as not ahead until its next head status");
    assert_eq!(
        watcher.running().overview(watcher.time()).credible,
        Height(20),
        "the claim of one member does not count"
    );
}

/// A disconnected member does not answer: the next one is asked at once.
#[test]
fn an_observer_s_request_to_a_disconnected_member_goes_to_the_next() {
    let net = Net::of(4);
    let mut watcher = Watcher::of(&net);
    watcher.handle([told(1, 9, 0, true), told(2, 9, 0, true)]);
    watcher.handle([Observation::PeerDown(id(1))]);
    let asked: Vec<_> = watcher.asked.iter().map(|(to, ..)| *to).collect();
    assert_eq!(asked, [id(1), id(2)]);
    watcher.handle([Observation::PeerDown(id(2))]);
    assert_eq!(watcher.running().deadline(), None, "no connected member is ahead");
}

/// R12d: more than f members are faulty, or the ledger belongs to another chain. The observer stops
/// and keeps its files.
#[test]
fn a_certified_block_that_contradicts_its_chain_stops_it() {
    let net = Net::of(4);
    let (blocks, others) = (net.chain_of(6), {
        let first = net.block_on(net.genesis.header(), &[net.transaction(77)]);
        let second =
            Block::after(first.header(), Body::of(&[]), net.wall().plus_ms(1), ReplicaId(0)).unwrap();
        vec![first, second]
    });
    let mut watcher = Watcher::of(&net);
    watcher.hear(0, 1);
    watcher.answer(&net, &ledger_of(&net, &blocks[..1]).reader());
    watcher.hear(1, 2);
    let (_, fetch, from) = watcher.asked.remove(0);
    let FetchResponse::Blocks(range) = serve_range(&ledger_of(&net, &others).reader(), from).unwrap() else {
        panic!()
    };
    let range = Some(CheckedRange::check(range, &net.context()).unwrap());
    let outcome = watcher.try_handle([Observation::Answered { fetch, range }]);
    assert!(matches!(outcome, Err(Fatal::Fork { height: Height(2) })), "{outcome:?}");
    assert_eq!(watcher.height(), 1);
}

/// R12d: blocks that its ledger refuses change nothing, even if a quorum has certified them.
/// Another member is asked.
#[test]
fn blocks_that_its_ledger_refuses_do_not_stop_it() {
    let net = Net::of(4);
    let blocks = net.chain_of(3);
    let mut watcher = Watcher::of(&net);
    watcher.hear(0, 3);
    let (_, fetch, _) = watcher.asked.remove(0);
    let header = Header { timestamp: net.genesis.header().timestamp, ..blocks[0].header().clone() };
    let broken = Block::new(header, blocks[0].body().clone()).unwrap();
    let claim = RangeBlock {
        header: broken.header().clone(),
        body: broken.body().as_bytes().to_vec(),
        certificate: Some(net.certificate(&broken)),
    };
    let range = CheckedRange::check(vec![claim], &net.context()).unwrap();
    watcher.handle([Observation::Answered { fetch, range: Some(range) }]);
    let told = |notice: &Notice| matches!(notice, Notice::BadBlocks { height: Height(1), .. });
    assert!(watcher.notices.iter().any(told), "{:?}", watcher.notices);
    assert_eq!(watcher.height(), 0);
    watcher.hear(1, 3);
    watcher.answer(&net, &ledger_of(&net, &blocks).reader());
    assert_eq!(watcher.height(), 3);
}

/// The ledger is synced once a second, however many blocks arrive. A restart or a power cut costs
/// only blocks that are fetched again.
#[test]
fn a_power_cut_takes_no_more_than_it_fetches_again() {
    let net = Net::of(4);
    let blocks = net.chain_of(40);
    let source = |length: usize| ledger_of(&net, &blocks[..length]).reader();
    let mut watcher = Watcher::of(&net);
    let syncs = watcher.disk.syncs();
    for length in 1..=20 {
        watcher.hear(2, length);
        watcher.answer(&net, &source(usize::try_from(length).unwrap()));
    }
    assert_eq!((watcher.height(), watcher.disk.syncs()), (20, syncs), "nothing is synced for a block");
    assert_eq!(watcher.running().overview(watcher.time()).durable, Height(0));
    watcher.pass(Duration::from_secs(1));
    assert_eq!(
        watcher.running().overview(watcher.time()).durable,
        Height(20),
        "all are durable a second later"
    );
    assert_eq!(watcher.running().deadline(), None, "no deadline is left");

    watcher.hear(2, 30);
    watcher.answer(&net, &source(30));
    watcher.power_loss();
    watcher.open(&net);
    assert_eq!(watcher.height(), 20);
    watcher.hear(1, 40);
    assert_eq!(watcher.asked[0].2, Height(21));
    watcher.answer(&net, &source(40));
    watcher.observer.take().unwrap().into_ledger().unwrap();
    watcher.power_loss();
    watcher.open(&net);
    assert_eq!(watcher.height(), 40, "after an orderly close, no block is fetched again");
    let read = watcher.running().reader().blocks(Height(1), 40, usize::MAX).unwrap();
    assert!(read.iter().map(|stored| &stored.block).eq(&blocks));
}

/// A failed sync stops an observer, as it stops a validator.
#[test]
fn a_storage_error_is_final() {
    let net = Net::of(4);
    let mut watcher = Watcher::of(&net);
    watcher.hear(0, 1);
    watcher.answer(&net, &ledger_of(&net, &net.chain_of(1)).reader());
    watcher.disk.fail_sync_after(0);
    watcher.now += Duration::from_secs(1);
    assert!(matches!(watcher.try_handle([]), Err(Fatal::Storage(_))));
}

/// A view is compared only with views of the same epoch. Heights grow across epochs.
#[test]
fn views_of_another_epoch_say_nothing_about_this_one() {
    let net = Net::of(4);
    let mut watcher = Watcher::of(&net);
    watcher.handle([told_in(1, 0, 90, 70, true), told_in(1, 1, 80, 60, true), told(2, 8, 3, true)]);
    let stands = watcher.running().overview(watcher.time());
    assert_eq!((stands.credible, stands.view, stands.active), (Height(80), View(0), false));
    watcher.handle([told(3, 8, 4, true)]);
    let stands = watcher.running().overview(watcher.time());
    assert_eq!((stands.view, stands.active), (View(3), true), "two claim view 3 of epoch 0 or a later one");
}

/// Its overview contains what f + 1 members claim, and the members that it has recently heard from.
#[test]
fn an_observer_reports_what_f_plus_1_members_claim() {
    let net = Net::of(4);
    let mut watcher = Watcher::of(&net);
    let stands = |watcher: &Watcher| watcher.running().overview(watcher.time());
    watcher.handle([told(0, 900, 90, true)]);
    assert_eq!((stands(&watcher).credible, stands(&watcher).view), (Height(0), View(0)));
    assert!(!stands(&watcher).active, "one member is not enough");
    watcher.handle([told(1, 8, 3, true), told(2, 6, 3, false)]);
    let told_now = stands(&watcher);
    assert_eq!((told_now.credible, told_now.stable, told_now.view), (Height(8), Height(4), View(3)));
    assert!(told_now.active, "two claim that this view or a later one has begun");
    assert_eq!(told_now.contacts, [id(0), id(1), id(2)]);
    let interval = Duration::from_millis(net.genesis.consensus().status_interval_ms);
    watcher.now += 2 * interval;
    watcher.handle([told(1, 8, 3, true)]);
    watcher.now += 2 * interval;
    assert_eq!(stands(&watcher).contacts, [id(1)], "a silent member is no longer listed");
    watcher.handle([Observation::PeerDown(id(1))]);
    assert!(stands(&watcher).contacts.is_empty());
}
