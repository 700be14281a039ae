//! Members fetch what they lack: certified blocks, bodies, and an observer everything.

mod bodies;
mod catch_up;
mod observer;
mod ranges;

use std::time::Duration;

use quorate_engine::{
    CheckedRange, Event, Fatal, FetchRequest, FetchResponse, Fetched, RangeBlock, RangeError, serve_range,
};
use quorate_ledger::{Block, BlockHash, CommitCertificate, Epoch, Height, View};
use quorate_pbft::{Checked, HighWaterMark, Status};

use crate::net::{Net, Parcel, id};

fn claim(block: &Block, certificate: Option<CommitCertificate>) -> RangeBlock {
    RangeBlock { header: block.header().clone(), body: block.body().as_bytes().to_vec(), certificate }
}

/// A range in which every block has its own certificate.
fn run_of(net: &Net, blocks: &[Block]) -> Vec<RangeBlock> {
    blocks.iter().map(|block| claim(block, Some(net.certificate(block)))).collect()
}

fn check(net: &Net, run: Vec<RangeBlock>) -> Result<CheckedRange, RangeError> {
    CheckedRange::check(run, &net.context())
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
    message.check(id(1), &net.context()).unwrap()
}

/// Member 3 receives the STATUS of member 1 with this height. Its request is answered with this
/// range.
fn answer(net: &mut Net, height: u64, run: Vec<RangeBlock>) -> Result<Vec<Block>, Fatal> {
    // R12b: after a useless answer, a member is asked again only after a status interval.
    net.now += Duration::from_millis(net.genesis.consensus().status_interval_ms);
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

/// The range that a member would answer with.
fn run_from(net: &Net, member: usize, from: u64) -> CheckedRange {
    let answer = serve_range(&net.engine(member).reader(), Height(from)).unwrap();
    let FetchResponse::Blocks(run) = answer else { panic!("it has blocks") };
    check(net, run).unwrap()
}
