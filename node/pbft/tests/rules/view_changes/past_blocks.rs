//! Accepted blocks of past views, and which of them a replica drops (R20d).

use quorate_pbft::{Record, Work};

use crate::net::{Net, STATUS, id};

/// More failed views than accepted blocks of past views are kept: 16 W, and W is 1 here.
const FAILED_VIEWS: u64 = 2 * 8 + 4;

/// R20d: replica 2 alone has a prepared certificate for X, of view 0. Then more views fail, each
/// with another block, than accepted blocks of past views are kept. All other replicas drop X.
/// Replica 2 keeps it because of the certificate. Once its VIEW-CHANGE counts, the view must begin
/// with X, and only replica 2 can supply its body.
#[test]
fn a_block_that_one_replica_knows_to_be_prepared_is_kept() {
    let mut net = Net::with(4, |config| config.context.window = 1);
    net.all_have_work(Work::Timely);
    net.links.lose(|envelope| envelope.is_commit());
    net.links.lose(|envelope| envelope.is_prepare() && !(envelope.is_in_view(0) && envelope.to == id(2)));
    // The views of the other primaries begin without replica 2. Its own views do not begin.
    net.links.lose(|envelope| envelope.is_view_change() && envelope.from == id(2));
    net.links.lose(|envelope| envelope.is_new_view() && envelope.from == id(2));
    net.links.lose(|envelope| match &envelope.message {
        quorate_pbft::Message::ViewChange(change) => envelope.to == id(2) && change.vote.body.view.0 % 4 == 2,
        _ => false,
    });
    let x = net.propose("X");
    net.deliver_all();
    let prepared = |net: &Net, node: usize| {
        net.nodes[node].journal.iter().any(|record| matches!(record, Record::Prepared(_)))
    };
    assert!(prepared(&net, 2) && [0, 1, 3].iter().all(|node| !prepared(&net, *node)));

    let holds = |net: &Net, node: usize| net.nodes[node].bodies.contains_key(&x.hash());
    let mut failed = 0;
    for round in 0.. {
        assert!(round < 1000, "only {failed} views failed with a block");
        if net.try_propose(&format!("fresh {round}")).is_some() {
            failed += 1;
        }
        net.deliver_all();
        if failed == FAILED_VIEWS {
            break;
        }
        net.all_report_censorship();
        net.pass(STATUS);
    }
    assert!([0, 1, 3].iter().all(|node| !holds(&net, *node)), "the others have dropped X");
    assert!(holds(&net, 2));
    // Without replica 3, every quorum of VIEW-CHANGEs contains that of replica 2.
    net.links.heal();
    net.partition(&[3]);
    for _ in 0..1000 {
        net.all_report_censorship();
        net.pass(STATUS);
        if net.heights()[..3] == [1, 1, 1] {
            break;
        }
    }
    net.links.heal();
    net.pass(2 * STATUS);
    net.assert_chain(&["X"]);
}
