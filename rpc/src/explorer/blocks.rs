//! Lists of blocks.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use quorate_api::{BlockJson, RpcError};
use serde::Deserialize;
use serde_json::json;

use super::page::{Frame, Problem};
use super::text::{self, Moment};
use super::{Explorer, Members, query};
use crate::methods::validators;
use crate::node::Node;

/// Rows of the list.
const ROWS: u32 = 50;

/// A block in a list.
#[derive(Debug, Default)]
pub(super) struct BlockRow {
    pub(super) height: u64,
    pub(super) hash: String,
    pub(super) time_ms: u64,
    pub(super) transactions: u32,
    pub(super) body_bytes: u32,
    pub(super) proposer: String,
    /// The view of its own certificate, if it has one.
    pub(super) view: Option<u64>,
}

impl BlockRow {
    fn of(block: &BlockJson, members: &Members) -> Self {
        let header = &block.header;
        // The genesis has no proposer.
        let proposer = if header.height == 0 { String::new() } else { members.name(header.proposer) };
        BlockRow {
            height: header.height,
            hash: block.hash.to_string(),
            time_ms: header.timestamp_ms,
            transactions: header.transaction_count,
            body_bytes: header.body_bytes,
            proposer,
            view: block.certificate.as_ref().map(|certificate| certificate.view),
        }
    }

    pub(super) fn time(&self) -> Moment {
        Moment(self.time_ms)
    }

    pub(super) fn size(&self) -> String {
        text::bytes(&self.body_bytes.into())
    }
}

/// The newest blocks below a height, the newest first: as many as requested, unless they are too
/// large for one response or there are fewer.
pub(super) async fn newest_below<N: Node>(
    explorer: &Explorer<N>,
    below: u64,
    earliest: u64,
    rows: u32,
) -> Result<Vec<BlockRow>, RpcError> {
    let mut count = u64::from(rows).min(below.saturating_sub(earliest));
    while let Ok(limit @ 1..) = u32::try_from(count) {
        let blocks = explorer.api.chain_blocks(below - count, Some(limit), Some(false)).await?.blocks;
        let found = blocks.len() as u64;
        if found >= count {
            return rows_of(explorer, &blocks);
        }
        // The response has only the lowest `found` blocks. Request that many again, but the highest
        // ones.
        count = found;
    }
    Ok(Vec::new())
}

/// The blocks as rows, the newest first. An index means another member in another epoch, so each block
/// gets the names of its own epoch.
fn rows_of<N: Node>(explorer: &Explorer<N>, blocks: &[BlockJson]) -> Result<Vec<BlockRow>, RpcError> {
    let mut known: Option<(u64, Members)> = None;
    let mut rows = Vec::with_capacity(blocks.len());
    for block in blocks.iter().rev() {
        let epoch = block.header.epoch;
        let members = match known.take().filter(|(of, _)| *of == epoch) {
            Some((_, members)) => members,
            None => explorer.members_at(block.header.height)?,
        };
        rows.push(BlockRow::of(block, &members));
        known = Some((epoch, members));
    }
    Ok(rows)
}

/// The rate of blocks and transactions, from a list of the newest blocks up to now.
pub(super) struct Rate {
    pub(super) blocks: String,
    pub(super) transactions: String,
    /// How many blocks were used.
    pub(super) over: usize,
}

impl Rate {
    /// `None` if the list has too few blocks.
    pub(super) fn of(newest_first: &[BlockRow], now: Moment) -> Option<Self> {
        // The time of the genesis was chosen, not measured.
        let blocks: Vec<&BlockRow> = newest_first.iter().filter(|block| block.height > 0).collect();
        let (newest, oldest) = (blocks.first()?, blocks.last()?);
        // Measure up to now, so that the rate of a stalled chain falls. Clocks differ, so a block's
        // time may be in the future.
        let took = now.0.max(newest.time_ms).checked_sub(oldest.time_ms).filter(|took| *took > 0)?;
        // The time before the oldest block is unknown, so the oldest block does not count.
        let later = blocks.split_last().map(|(_, later)| later).filter(|later| !later.is_empty())?;
        let transactions = later.iter().map(|block| u64::from(block.transactions)).sum::<u64>();
        Some(Rate {
            blocks: per_second(later.len() as u64, took),
            transactions: per_second(transactions, took),
            over: blocks.len(),
        })
    }
}

/// A rate with two decimal digits.
fn per_second(count: u64, milliseconds: u64) -> String {
    let hundredths = u128::from(count) * 100_000 / u128::from(milliseconds);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[derive(Template)]
#[template(path = "blocks.html")]
struct BlocksPage {
    frame: Frame,
    blocks: Vec<BlockRow>,
    blank: BlockRow,
    /// The epoch whose members are named to the script that adds new blocks.
    epoch: u64,
    members: String,
    head: u64,
    earliest: u64,
    /// Whether these are the newest blocks.
    is_newest: bool,
    older: Option<u64>,
    newer: Option<u64>,
}

#[derive(Deserialize)]
struct Parameters {
    below: Option<u64>,
}

/// `GET /blocks?below=HEIGHT`
pub(super) async fn page<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let parameters: Parameters = query(uri)?;
    let status = explorer.api.node_status();
    let (head, earliest) = (status.head.height, status.earliest_height);
    let next = head.saturating_add(1);
    let below = parameters.below.unwrap_or(next).clamp(earliest.saturating_add(1), next);
    let committee = validators(&explorer.api.report().config);
    let blocks = newest_below(explorer, below, earliest, ROWS).await?;
    let lowest = blocks.last().map_or(below, |block| block.height);
    // The link to the newest blocks has no `below`, because that page is updated live.
    let newer = (below < next).then(|| below.saturating_add(ROWS.into())).filter(|newer| *newer < next);
    let frame = Frame::new(&status, headers, "/blocks")
        .live(if parameters.below.is_none() { "stream" } else { "" })
        .call("chain_blocks", &json!({ "from_height": lowest, "limit": blocks.len().max(1), "full": false }));
    let page = BlocksPage {
        frame,
        blank: BlockRow::default(),
        epoch: committee.epoch,
        members: Members::of(committee).joined(),
        head,
        earliest,
        is_newest: below == next,
        older: (lowest > earliest).then_some(lowest),
        newer,
        blocks,
    };
    Ok(explorer.show(StatusCode::OK, &page))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(height: u64, time_ms: u64, transactions: u32) -> BlockRow {
        BlockRow { height, time_ms, transactions, ..BlockRow::default() }
    }

    #[test]
    fn a_rate_counts_the_blocks_after_the_oldest() {
        let blocks = [row(3, 3000, 7), row(2, 2500, 1), row(1, 1000, 90), row(0, 0, 0)];
        for (now, per_second) in [(2900, ("1.00", "4.00")), (5000, ("0.50", "2.00"))] {
            let rate = Rate::of(&blocks, Moment(now)).unwrap();
            assert_eq!((rate.blocks.as_str(), rate.transactions.as_str()), per_second);
            assert_eq!(rate.over, 3, "the time of the genesis was chosen");
        }
        assert!(Rate::of(&blocks[2..], Moment(9000)).is_none(), "one block has no rate");
        assert!(Rate::of(&[], Moment(0)).is_none());
        assert_eq!(per_second(u64::MAX, 1).len(), 26);
    }
}
