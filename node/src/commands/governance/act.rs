//! Submits an operation: preview, signature, wait for the outcome, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Args;
use quorate_api::{
    Arithmetic, ChainHead, GovernanceStatus, OutcomeJson, PreviewJson, ProposalJson, TransactionStatus,
};
use quorate_client::{Rpc, TransactionBuilder};
use quorate_genesis::Genesis;
use quorate_ledger::{Payload, SecretKey, TransactionId};
use serde::Serialize;

use super::contacts::{Sight, contacts};
use super::dry_run::DryRun;
use super::plan::{Plan, member_names};
use crate::commands::{block_on, tx};
use crate::exit::Outcome;
use crate::keyfile::{self, PassphraseSource};
use crate::output::{self, Output};
use crate::remote::{self, Node};

/// Options of every command that submits an operation.
#[derive(Debug, Clone, Args)]
pub(crate) struct Acting {
    #[command(flatten)]
    pub(crate) node: Node,

    /// The key that signs the operation: the governance key of a member; for validator ready, the
    /// future consensus key. Not needed with --dry-run, except by rotate.
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    key: Option<PathBuf>,

    #[command(flatten)]
    passphrase: PassphraseSource,

    /// Print the quorum arithmetic before and after, who is connected and has caught up now, and what
    /// breaks if one more fails. Submit nothing.
    #[arg(long)]
    dry_run: bool,

    /// The network's genesis file. Without it, the command trusts the node: it uses the genesis that
    /// the node returns.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// How long to wait until a block contains the operation.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    #[command(flatten)]
    output: Output,
}

/// What a command knows before it makes its plan.
pub(crate) struct Known {
    /// The client of the node.
    pub(crate) rpc: Rpc,
    /// The genesis of the network.
    pub(crate) genesis: Genesis,
    /// The governance state.
    pub(crate) status: GovernanceStatus,
    /// The newest block of the node.
    pub(crate) head: ChainHead,
    /// The governance key, unless this is a dry run without one.
    pub(crate) key: Option<SecretKey>,
}

impl Known {
    /// The name of the member with this governance key, or a placeholder in a dry run without a key.
    ///
    /// # Errors
    /// No member has the key.
    pub(crate) fn own_member(&self) -> anyhow::Result<String> {
        let Some(key) = &self.key else { return Ok("of the key".to_owned()) };
        check_key(&self.status, key)?;
        let own = self.status.members.iter().find(|member| member.governance_key == key.public());
        Ok(own.map(|member| member.name.clone()).unwrap_or_default())
    }
}

/// The result of an operation.
#[derive(Debug, Serialize)]
struct Acted {
    submitted: bool,
    id: String,
    operation: String,
    #[serde(flatten)]
    status: TransactionStatus,
    outcome: Option<OutcomeJson>,
    /// The first height that the change judges, if it is decided.
    effective_from: Option<u64>,
    /// The proposal, while it is open.
    proposal: Option<ProposalJson>,
}

/// Makes a plan, previews it, and submits it unless it would be refused or this is a dry run.
pub(crate) fn act(
    acting: &Acting,
    plan: impl FnOnce(&Known) -> anyhow::Result<Plan>,
) -> anyhow::Result<Outcome> {
    // Ask for the passphrase before waiting for anything else.
    let key = acting.key.as_ref().map(|path| keyfile::read(path, &acting.passphrase)).transpose()?;
    block_on(async {
        let rpc = acting.node.rpc()?;
        let genesis = tx::genesis_from(acting.genesis.as_deref(), &rpc).await?;
        let status = rpc.governance_status().await.map_err(remote::advise)?;
        let head = rpc.chain_head().await.map_err(remote::advise)?;
        let known = Known { rpc, genesis, status, head, key };
        let plan = plan(&known)?;
        run(acting, &known, &plan).await
    })
}

async fn run(acting: &Acting, known: &Known, plan: &Plan) -> anyhow::Result<Outcome> {
    let preview = preview(known, plan).await?;
    let refused = preview.as_ref().is_some_and(|preview| {
        // An approval that would decide fails while anything is in the way.
        let proposes = plan.changes().is_some();
        proposes && preview.refusals().next().is_some()
    });
    if acting.dry_run || refused {
        let dry_run = dry_run(known, plan, preview, refused).await?;
        acting.output.show(&dry_run, || dry_run.human())?;
        return Ok(Outcome::of(!refused));
    }
    let key = known.key.as_ref().context("no key is given: sign with --key FILE")?;
    if !plan.by_candidate {
        check_key(&known.status, key)?;
    }
    let acted = submit(acting, known, plan, key).await?;
    acting.output.show(&acted, || human(&acted))?;
    Ok(Outcome::of(acted.outcome.as_ref().is_some_and(OutcomeJson::is_executed)))
}

/// The preview of the changes that the plan proposes, or that the proposal has.
async fn preview(known: &Known, plan: &Plan) -> anyhow::Result<Option<PreviewJson>> {
    let changes = match (plan.changes(), plan.proposal) {
        (Some(changes), _) => changes,
        (None, Some(id)) => {
            let proposal = find(known, id).await?;
            let advice = "`quorate governance list` shows those that are open";
            let proposal = proposal.with_context(|| format!("no open proposal has the id {id}; {advice}"))?;
            proposal.changes.into_iter().map(|change| change.change).collect()
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(known.rpc.governance_preview(&changes).await.map_err(remote::advise)?))
}

async fn find(known: &Known, id: TransactionId) -> anyhow::Result<Option<ProposalJson>> {
    let open = known.rpc.governance_proposals().await.map_err(remote::advise)?;
    Ok(open.into_iter().find(|proposal| proposal.id == id))
}

async fn dry_run(
    known: &Known,
    plan: &Plan,
    preview: Option<PreviewJson>,
    refused: bool,
) -> anyhow::Result<DryRun> {
    let node = known.rpc.node_status().await.map_err(remote::advise)?;
    let peers = known.rpc.node_peers().await.map_err(remote::advise)?;
    let changes = match (plan.changes(), plan.proposal) {
        (Some(changes), _) => changes,
        (None, Some(id)) => {
            let proposal = find(known, id).await?;
            proposal.into_iter().flat_map(|proposal| proposal.changes).map(|change| change.change).collect()
        }
        (None, None) => Vec::new(),
    };
    let after: Option<&Arithmetic> = preview.as_ref().and_then(|preview| preview.after.as_ref());
    let after = after.unwrap_or(&known.status.arithmetic);
    let sight = Sight { node: &node, peers: &peers };
    let contacts = contacts(&sight, &known.status, &changes, after);
    Ok(DryRun { submitted: false, operation: plan.text(), refused, preview, contacts })
}

/// The network contains no operation of another key, so say so before it is submitted.
fn check_key(status: &GovernanceStatus, key: &SecretKey) -> anyhow::Result<()> {
    let public = key.public();
    let is_member = status.members.iter().any(|member| member.governance_key == public);
    ensure!(
        is_member,
        "{public} is not the governance key of a member ({}): give the right file with --key",
        member_names(status)
    );
    Ok(())
}

async fn submit(acting: &Acting, known: &Known, plan: &Plan, key: &SecretKey) -> anyhow::Result<Acted> {
    let limits = known.genesis.block_limits().transaction;
    let valid_until = tx::valid_until(None, limits.max_lifetime_ms)?;
    let payload = Payload::Governance(plan.operation.to_bytes());
    let builder = TransactionBuilder::with_payload(known.genesis.chain_id(), payload);
    let transaction = builder.valid_until(valid_until).sign(key)?;
    let client = tx::client(&acting.node, &known.genesis, acting.timeout)?;
    let submitted = tx::submit(&client, &transaction, acting.timeout, true).await?;
    let mut acted = Acted {
        submitted: true,
        id: submitted.id.to_string(),
        operation: plan.text(),
        status: submitted.status,
        outcome: submitted.outcome,
        effective_from: None,
        proposal: None,
    };
    if acted.outcome.as_ref().is_some_and(OutcomeJson::is_executed) {
        follow_up(known, plan, submitted.id, &mut acted).await?;
    }
    if matches!(acted.status, TransactionStatus::Committed { .. }) && acted.outcome.is_none() {
        bail!("the node reports no outcome of {}: is it of this version?", acted.id);
    }
    Ok(acted)
}

/// Looks up what an executed operation has led to.
async fn follow_up(known: &Known, plan: &Plan, id: TransactionId, acted: &mut Acted) -> anyhow::Result<()> {
    let proposal = match (plan.changes(), plan.proposal) {
        (Some(_), _) => Some(id),
        (None, about) => about,
    };
    let status = known.rpc.governance_status().await.map_err(remote::advise)?;
    let decided = status.scheduled.iter().rev().find(|change| match (&proposal, &plan.subject) {
        (Some(proposal), _) => change.proposal == Some(*proposal),
        (None, Some(subject)) => change.text.contains(subject),
        (None, None) => false,
    });
    acted.effective_from = decided.map(|change| change.effective_from);
    if let (None, Some(id)) = (acted.effective_from, proposal) {
        acted.proposal = find(known, id).await?;
    }
    Ok(())
}

fn human(acted: &Acted) -> String {
    let mut fields = vec![
        ("id", acted.id.clone()),
        ("operation", acted.operation.clone()),
        ("status", tx::describe(&acted.status)),
    ];
    fields.extend(acted.outcome.as_ref().map(|outcome| ("outcome", tx::outcome(outcome))));
    fields
        .extend(acted.effective_from.map(|height| ("takes effect", format!("decided; at height {height}"))));
    if let Some(proposal) = &acted.proposal {
        fields.push(("open", still_needed(proposal)));
    }
    output::fields(fields)
}

/// What an open proposal still needs.
pub(super) fn still_needed(proposal: &ProposalJson) -> String {
    let ProposalJson { approvals_missing, not_approved, expires, obstacles, .. } = proposal;
    let (approvals, are) = if *approvals_missing == 1 { ("approval", "is") } else { ("approvals", "are") };
    let mut text = format!(
        "{approvals_missing} more {approvals} of {} {are} needed up to height {expires}",
        not_approved.join(", ")
    );
    for obstacle in obstacles {
        text += &format!("; in its way: {}", obstacle.message);
    }
    text
}
