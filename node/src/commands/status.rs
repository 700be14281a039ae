//! `quorate status`: the status of a network's nodes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use futures::future::join_all;
use hyper::StatusCode;
use quorate_api::{ConsensusState, NodeRole, NodeStatus, Readiness, ReadinessCheck, ValidatorSigningState};
use quorate_client::{ClientConfig, Rpc};
use serde::Serialize;

use crate::commands::block_on;
use crate::exit::Outcome;
use crate::http::{Connection, Endpoint};
use crate::network_file;
use crate::output::{Output, Table, short};
use crate::remote::DEFAULT_URL;

/// How long the response about readiness may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Upper limit of nodes per call.
const MAX_NODES: usize = 100;

/// Show the status of one or more nodes: height, stable checkpoint, view, primary, signing state,
/// peers, readiness.
///
/// The view is `active`, or `changing` until it begins. The signing state is `voting`, or the
/// reason why the node does not vote. An observer shows stable checkpoint, view and primary as
/// validators report them.
///
/// Exit code 0 if all nodes are ready, 3 if one is not ready or does not respond.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate status
  quorate status --rpc http://10.0.0.5:8545 --rpc http://10.0.0.6:8545
  quorate status --network net/network.json --output json")]
pub(crate) struct Args {
    /// URL of a node's JSON-RPC; give the option once for each node.
    #[arg(long = "rpc", value_name = "URL", env = "QUORATE_RPC_URL", default_value = DEFAULT_URL)]
    urls: Vec<String>,

    /// Show all validators of this network.json, or of the directory that contains it, instead.
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,

    #[command(flatten)]
    output: Output,
}

/// The status of one node.
#[derive(Debug, Serialize)]
pub(crate) struct Condition {
    /// The URL that was called.
    pub(crate) rpc: String,
    /// Whether the node is ready.
    pub(crate) ready: bool,
    /// The checks that fail, if it is not ready.
    pub(crate) unmet: Vec<ReadinessCheck>,
    /// The node's summary.
    pub(crate) status: Option<NodeStatus>,
    /// The node's state of ordering.
    pub(crate) consensus: Option<ConsensusState>,
    /// Why there is no response.
    pub(crate) error: Option<String>,
}

/// Runs `quorate status`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let urls = match &args.network {
        Some(path) => {
            network_file::read(path)?.validators.into_iter().map(|validator| validator.rpc).collect()
        }
        None => args.urls.clone(),
    };
    anyhow::ensure!(urls.len() <= MAX_NODES, "at most {MAX_NODES} nodes can be given");
    let conditions = block_on(async { Ok(join_all(urls.into_iter().map(ask)).await) })?;
    args.output.show(&conditions, || table(&conditions).render())?;
    Ok(Outcome::of(conditions.iter().all(|condition| condition.ready)))
}

/// Calls one node. A node that does not respond has an error in its result.
pub(crate) async fn ask(url: String) -> Condition {
    let mut condition = Condition {
        rpc: url.clone(),
        ready: false,
        unmet: Vec::new(),
        status: None,
        consensus: None,
        error: None,
    };
    if let Err(error) = fill(&mut condition, &url).await {
        condition.error = Some(error.to_string());
    }
    condition
}

async fn fill(condition: &mut Condition, url: &str) -> anyhow::Result<()> {
    let endpoint: Endpoint = url.parse()?;
    let rpc = Rpc::new(url, &ClientConfig::default())?;
    condition.status = Some(rpc.node_status().await?);
    condition.consensus = Some(rpc.consensus_state().await?);
    let (status, body) = Connection::new(endpoint, TIMEOUT).get("/readyz").await?;
    condition.ready = status == StatusCode::OK;
    condition.unmet = unmet(&body);
    Ok(())
}

/// The failed checks of a node that is not ready.
fn unmet(body: &[u8]) -> Vec<ReadinessCheck> {
    // The HTTP status decides whether the node is ready. A body that cannot be read gives no
    // reasons.
    let readiness: Readiness = serde_json::from_slice(body).unwrap_or_default();
    readiness.checks.into_iter().filter(|check| !check.ok).collect()
}

/// One row for each node.
fn table(conditions: &[Condition]) -> Table {
    let mut table = Table::new(&[
        "node", "rpc", "height", "stable", "view", "state", "primary", "signing", "peers", "pool", "ready",
    ]);
    for condition in conditions {
        table.row(row(condition));
    }
    table
}

fn row(condition: &Condition) -> Vec<String> {
    let absent = || "-".to_owned();
    let status = condition.status.as_ref();
    let of_status = |value: fn(&NodeStatus) -> String| status.map_or_else(absent, value);
    let consensus = condition.consensus.as_ref();
    let of_consensus = |value: fn(&ConsensusState) -> String| consensus.map_or_else(absent, value);
    vec![
        of_status(name),
        condition.rpc.clone(),
        of_status(|status| status.head.height.to_string()),
        of_consensus(|state| state.stable_height.to_string()),
        of_consensus(|state| state.view.to_string()),
        of_consensus(|state| if state.active { "active" } else { "changing" }.to_owned()),
        of_consensus(|state| state.primary_name.clone()),
        of_consensus(|state| signing(state.signing_state).to_owned()),
        of_status(|status| status.peers_connected.to_string()),
        of_status(|status| status.mempool_transactions.to_string()),
        readiness(condition),
    ]
}

fn name(status: &NodeStatus) -> String {
    let unnamed = || match status.role {
        NodeRole::Validator => "-".to_owned(),
        NodeRole::Observer => format!("observer {}", short(&status.public_key)),
    };
    status.name.clone().unwrap_or_else(unnamed)
}

fn signing(state: ValidatorSigningState) -> &'static str {
    match state {
        ValidatorSigningState::Voting => "voting",
        ValidatorSigningState::Probing => "probing",
        ValidatorSigningState::Recovering => "recovering",
        ValidatorSigningState::Observing => "observing",
    }
}

fn readiness(condition: &Condition) -> String {
    if let Some(error) = &condition.error {
        return format!("no: {error}");
    }
    if condition.ready {
        return "yes".to_owned();
    }
    let reasons = condition.unmet.iter().map(|check| format!("{} ({})", check.name, check.detail));
    format!("no: {}", reasons.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use quorate_api::ViewChangeCounts;

    use super::*;

    fn condition() -> Condition {
        Condition {
            rpc: "http://127.0.0.1:1".into(),
            ready: false,
            unmet: Vec::new(),
            status: None,
            consensus: None,
            error: None,
        }
    }

    #[test]
    fn a_node_that_does_not_answer_has_a_line_that_says_so() {
        let silent = Condition { error: Some("no connection".into()), ..condition() };
        let text = table(&[silent]).render();
        assert!(text.contains("no: no connection") && text.contains("http://127.0.0.1:1"), "{text}");
    }

    #[test]
    fn a_node_that_changes_its_view_and_does_not_vote_has_a_line_that_says_so() {
        let state = ConsensusState {
            epoch: 0,
            view: 3,
            active: false,
            signing_state: ValidatorSigningState::Recovering,
            probe: None,
            primary: 3,
            primary_name: "validator-3".into(),
            committee_size: 4,
            quorum: 3,
            committed_height: 140,
            stable_height: 128,
            in_flight: Vec::new(),
            request_timeout_ms: 4000,
            deadline: None,
            waiting_ms: None,
            catching_up: false,
            view_changes_from: Vec::new(),
            recently_heard: Vec::new(),
            view_change_counts: ViewChangeCounts::default(),
            evidence_count: 0,
            snapshot_age_ms: 0,
        };
        let told = |state| table(&[Condition { consensus: Some(state), ..condition() }]).render();
        let text = told(state.clone());
        assert!(text.contains("128     3     changing  validator-3  recovering"), "{text}");
        let text =
            told(ConsensusState { active: true, signing_state: ValidatorSigningState::Voting, ..state });
        assert!(text.contains("128     3     active  validator-3  voting"), "{text}");
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let body = br#"{"ready":false,"checks":[
            {"name":"engine","ok":true,"detail":"runs"},
            {"name":"quorum","ok":false,"detail":"connected to 1 of 3"}]}"#;
        let waiting = Condition { unmet: unmet(body), ..condition() };
        assert_eq!(readiness(&waiting), "no: quorum (connected to 1 of 3)");
        assert_eq!(readiness(&Condition { ready: true, ..condition() }), "yes");
        assert!(unmet(b"busy").is_empty());
    }
}
