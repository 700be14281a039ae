//! The committee, as this node sees it.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quorate_api::{EvidenceJson, EvidenceKind, PeerDirection, PeerJson, ValidatorSet};
use serde_json::json;

use super::Explorer;
use super::page::{Frame, Problem};
use super::text;
use crate::methods::validators;
use crate::node::{Node, NodeReport};

/// A node in the table.
struct Row {
    index: Option<u16>,
    name: String,
    public_key: String,
    is_primary: bool,
    is_this_node: bool,
    is_heard: bool,
    is_faulty: bool,
    /// `None` for the node itself, and for a validator that is not among its peers.
    peer: Option<PeerJson>,
    /// The height that it reports as committed.
    height: Option<u64>,
}

impl Row {
    fn connection(&self) -> String {
        let Some(peer) = self.peer.as_ref().filter(|peer| peer.connected) else {
            let why = self.peer.as_ref().and_then(|peer| peer.last_error.as_deref());
            return match (self.is_this_node, why) {
                (true, _) => "this node".to_owned(),
                (false, Some(why)) => format!("no connection: {why}"),
                (false, None) => "no connection".to_owned(),
            };
        };
        let direction = match peer.direction {
            Some(PeerDirection::Inbound) => "connected, opened by it",
            Some(PeerDirection::Outbound) => "connected, opened by us",
            None => "connected",
        };
        let since = peer.connected_ms.map(|since| format!(", {} ago", text::span(&since)));
        format!("{direction}{}", since.unwrap_or_default())
    }

    fn is_connected(&self) -> bool {
        self.is_this_node || self.peer.as_ref().is_some_and(|peer| peer.connected)
    }

    fn round_trip(&self) -> String {
        let time = self.peer.as_ref().and_then(|peer| peer.round_trip_us);
        time.map(|time| format!("{}.{:02} ms", time / 1000, time % 1000 / 10)).unwrap_or_default()
    }
}

#[derive(Template)]
#[template(path = "validators.html")]
struct ValidatorsPage {
    frame: Frame,
    committee: Option<ValidatorSet>,
    rows: Vec<Row>,
    others: Vec<Row>,
    evidence: Vec<EvidenceJson>,
}

impl ValidatorsPage {
    fn kind(&self, kind: &EvidenceKind) -> &'static str {
        match kind {
            EvidenceKind::PrePrepare => "PRE-PREPARE",
            EvidenceKind::Prepare => "PREPARE",
            EvidenceKind::Commit => "COMMIT",
            EvidenceKind::ViewChange => "VIEW-CHANGE",
            EvidenceKind::NewView => "NEW-VIEW",
            EvidenceKind::Checkpoint => "CHECKPOINT",
            EvidenceKind::HiddenCertificate => "VIEW-CHANGE without the certificate of a COMMIT",
            EvidenceKind::PrepareCommit => "PREPARE and COMMIT for different blocks",
            EvidenceKind::PrePrepareCommit => "PRE-PREPARE and COMMIT for different blocks",
        }
    }
}

/// `GET /validators`
pub(super) fn page<N: Node>(explorer: &Explorer<N>, headers: &HeaderMap) -> Result<Response, Problem> {
    let api = &explorer.api;
    // One report: all indices are of one committee. Evidence names the epoch of its indices itself.
    let NodeReport { config, status, consensus, mut peers, .. } = api.report();
    let evidence = api.consensus_evidence().evidence;
    let committee = validators(&config);
    let is_of_now = |evidence: &&EvidenceJson| evidence.epoch == committee.epoch;
    let mut rows = Vec::new();
    for validator in &committee.validators {
        let place = peers.iter().position(|peer| peer.public_key == validator.public_key);
        let peer = place.map(|place| peers.remove(place));
        let is_this_node = validator.public_key == status.public_key;
        let own_height = is_this_node.then_some(status.head.height);
        rows.push(Row {
            index: Some(validator.index),
            name: validator.name.clone(),
            public_key: validator.public_key.to_string(),
            is_primary: validator.index == consensus.primary,
            is_this_node,
            is_heard: is_this_node || consensus.recently_heard.contains(&validator.index),
            is_faulty: evidence
                .iter()
                .filter(is_of_now)
                .any(|evidence| evidence.validator == validator.index),
            height: own_height.or_else(|| peer.as_ref().and_then(|peer| peer.committed_height)),
            peer,
        });
    }
    let other = |peer: PeerJson| Row {
        index: peer.index,
        name: peer.name.clone().unwrap_or_default(),
        public_key: peer.public_key.to_string(),
        is_primary: false,
        is_this_node: false,
        is_heard: false,
        is_faulty: false,
        height: peer.committed_height,
        peer: Some(peer),
    };
    let others = peers.into_iter().map(other).collect();
    let nothing = json!({});
    let frame = Frame::new(&status, headers, "/validators").live("poll");
    let frame = frame.call("network_validators", &nothing).call("node_peers", &nothing);
    let frame = frame.call("consensus_state", &nothing).call("consensus_evidence", &nothing);
    let page = ValidatorsPage { frame, committee: Some(committee), rows, others, evidence };
    Ok(explorer.show(StatusCode::OK, &page))
}
