//! One block with its certificate and its transactions.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use quorate_api::{
    BlockAt, BlockJson, CertificateJson, HeaderJson, PayloadJson, TransactionJson, TransactionsJson, excerpt,
};
use serde::Deserialize;
use serde_json::json;

use super::page::{Frame, Problem};
use super::text::{self, Moment};
use super::{Explorer, Members, query};
use crate::node::Node;

/// How many transactions a page shows.
const ROWS: usize = 100;

/// A member and whether its signature is in a certificate.
pub(super) struct Vote {
    pub(super) name: String,
    pub(super) signed: bool,
}

/// A certificate, prepared for the page.
pub(super) struct Certified {
    pub(super) view: u64,
    /// Height of the block that it is for: this one, or a later one.
    pub(super) height: u64,
    pub(super) signatures: usize,
    pub(super) votes: Vec<Vote>,
}

impl Certified {
    pub(super) fn of(certificate: &CertificateJson, members: &Members) -> Self {
        let vote = |(index, name): (u16, &String)| Vote {
            name: name.clone(),
            signed: certificate.signers.contains(&index),
        };
        Certified {
            view: certificate.view,
            height: certificate.height,
            signatures: certificate.signatures.len(),
            votes: (0..).zip(&members.0).map(vote).collect(),
        }
    }
}

/// A transaction in the list.
struct Row {
    index: usize,
    id: String,
    sender: String,
    size: String,
    summary: String,
}

impl Row {
    fn of(index: usize, transaction: &TransactionJson) -> Self {
        let (PayloadJson::Data { data } | PayloadJson::Governance { data }) = &transaction.payload;
        Row {
            index,
            id: transaction.id.to_string(),
            sender: transaction.sender.to_string(),
            size: text::bytes(&(data.len() as u64)),
            summary: text::summary(data),
        }
    }
}

#[derive(Template)]
#[template(path = "block.html")]
struct BlockPage {
    frame: Frame,
    header: HeaderJson,
    hash: String,
    proposer: String,
    certified: Option<Certified>,
    head: u64,
    rows: Vec<Row>,
    /// Positions of the first and last row, from 0.
    from: usize,
    earlier: Option<usize>,
    later: Option<usize>,
}

impl BlockPage {
    fn time(&self) -> Moment {
        Moment(self.header.timestamp_ms)
    }

    fn size(&self) -> String {
        text::bytes(&self.header.body_bytes.into())
    }
}

#[derive(Deserialize)]
struct Parameters {
    from: Option<usize>,
}

/// `GET /blocks/{height or hash}?from=INDEX`
pub(super) async fn page<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
    at: &str,
    uri: &Uri,
) -> Result<Response, Problem> {
    let from = query::<Parameters>(uri)?.from.unwrap_or_default();
    let named: BlockAt = at.parse().map_err(|_| {
        let text = format!("“{}” does not name a block.", excerpt(at));
        let advice = "Name a block by its height, such as 17, or by its hash: 0x and 64 digits from 0 to f.";
        Problem::new(StatusCode::BAD_REQUEST, "No such block", text, advice)
    })?;
    let status = explorer.api.node_status();
    let head = status.head.height;
    let Some(block) = explorer.api.chain_block(named, Some(true)).await? else {
        return Err(unknown(named, head));
    };
    let members = explorer.members_at(block.header.height)?;
    // A block that became final by a later block's certificate has no certificate of its own.
    let certificate = match &block.certificate {
        Some(certificate) => Some(certificate.clone()),
        None => explorer.api.chain_proof(block.header.height)?.map(|proof| proof.certificate),
    };
    let BlockJson { header, hash, transactions, .. } = block;
    let transactions = match transactions {
        TransactionsJson::Full(transactions) => transactions,
        TransactionsJson::Ids(_) => Vec::new(),
    };
    let count = transactions.len();
    if from > 0 && from >= count {
        let text =
            format!("Block {} has {count} transactions, so there is none at position {from}.", header.height);
        let advice = "Positions are counted from 0.";
        return Err(Problem::new(StatusCode::NOT_FOUND, "No transactions there", text, advice));
    }
    let rows = transactions.iter().enumerate().skip(from).take(ROWS);
    let frame = Frame::new(&status, headers, "")
        .call("chain_block", &json!({ "at": header.height }))
        .call("chain_proof", &json!({ "height": header.height }));
    let page = BlockPage {
        frame,
        hash: hash.to_string(),
        proposer: members.name(header.proposer),
        certified: certificate.map(|certificate| Certified::of(&certificate, &members)),
        head,
        rows: rows.map(|(index, transaction)| Row::of(index, transaction)).collect(),
        from,
        earlier: (from > 0).then(|| from.saturating_sub(ROWS)),
        later: Some(from + ROWS).filter(|later| *later < count),
        header,
    };
    Ok(explorer.show(StatusCode::OK, &page))
}

fn unknown(named: BlockAt, head: u64) -> Problem {
    let (text, advice) = match named {
        BlockAt::Height(height) if height > head => (
            format!(
                "Block {height} does not exist here yet: the newest block that this node holds is {head}."
            ),
            "Wait for it, or use a node that is further ahead.",
        ),
        _ => (
            format!("This node holds no block named {named}."),
            "Check the hash, or use another node. A node never holds blocks of another network.",
        ),
    };
    Problem::new(StatusCode::NOT_FOUND, "No such block", text, advice)
}
