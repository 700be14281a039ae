//! What `quorate genesis continue` prints.

use quorate_api::DescribedChange;
use quorate_genesis::{Continued, Genesis, Predecessor, Validator};
use quorate_governance::{Change, Effect, State};
use serde::Serialize;

use crate::commands::ledger::Followed;
use crate::output;

/// Most changes of a kind that are listed; the others are only counted.
const LISTED: usize = 20;

#[derive(Serialize)]
pub(super) struct Report {
    /// The line that all operators must see.
    agreement: String,
    name: String,
    chain_id: String,
    predecessor: PredecessorReport,
    files: Vec<String>,
    validators: Vec<ValidatorReport>,
    removed: Vec<String>,
    submit: &'static str,
    clients: u64,
    clients_left_out: u64,
    not_taken_over: NotTakenOver,
}

#[derive(Serialize)]
struct PredecessorReport {
    chain_id: String,
    height: u64,
    block: String,
    epoch: u64,
    state_root: String,
    timestamp_ms: u64,
    transactions: u64,
}

#[derive(Serialize)]
struct ValidatorReport {
    name: String,
    public_key: String,
    governance_key: String,
    /// What is different from the old network, in words.
    change: &'static str,
}

/// In words; what is open or scheduled in the old network.
#[derive(Serialize)]
struct NotTakenOver {
    proposals: Vec<String>,
    scheduled: Vec<String>,
}

impl Report {
    /// What was made of the chain `old`, and the files that were written.
    pub(super) fn of(old: &Genesis, followed: &Followed, continued: &Continued, files: Vec<String>) -> Self {
        let Followed { last, state, transactions, .. } = followed;
        let genesis = &continued.genesis;
        let predecessor = genesis.predecessor().expect("a continued network has a predecessor");
        let before = state.next_config();
        let kept = |name: &str| genesis.validators().iter().any(|validator| validator.name == name);
        let names = before.members().iter().map(|member| member.name.to_string());
        Report {
            agreement: agreement(predecessor, genesis),
            name: genesis.name().to_owned(),
            chain_id: genesis.chain_id().to_string(),
            predecessor: PredecessorReport {
                chain_id: old.chain_id().to_string(),
                height: last.height.0,
                block: predecessor.block.to_string(),
                epoch: last.epoch.0,
                state_root: predecessor.state_root.to_string(),
                timestamp_ms: last.timestamp.0,
                transactions: *transactions,
            },
            files,
            validators: validators(state, genesis),
            removed: names.filter(|name| !kept(name)).collect(),
            submit: genesis.parameters().clients.submit.as_str(),
            clients: predecessor.clients,
            clients_left_out: (before.client_count() as u64).saturating_sub(predecessor.clients),
            not_taken_over: not_taken_over(state),
        }
    }

    /// The report for people. The line to compare is at its end.
    pub(super) fn human(&self) -> String {
        let predecessor = &self.predecessor;
        let PredecessorReport { height, epoch, block, transactions, .. } = predecessor;
        let mut fields = vec![
            ("old chain", predecessor.chain_id.clone()),
            ("last block", format!("{block} at height {height} in epoch {epoch}")),
            ("time", output::time(predecessor.timestamp_ms)),
            ("verified", format!("all {height} blocks with {transactions} transactions")),
            ("state root", predecessor.state_root.clone()),
            ("new chain", self.chain_id.clone()),
            ("name", self.name.clone()),
            ("clients", self.clients()),
        ];
        if !self.removed.is_empty() {
            fields.push(("removed", self.removed.join(", ")));
        }
        fields.push(("wrote", self.files.join(" and ")));
        let mut table = output::Table::new(&["index", "validator", "public key", "change"]);
        for (index, validator) in self.validators.iter().enumerate() {
            let ValidatorReport { name, public_key, change, .. } = validator;
            table.row([index.to_string(), name.clone(), public_key.clone(), (*change).to_owned()]);
        }
        let NotTakenOver { proposals, scheduled } = &self.not_taken_over;
        format!(
            "{}\n{}{}{}\nEvery operator must see this same line before anyone starts:\n\n  {}\n\nIf another operator sees a \
             higher block, use the export of that operator.\n",
            output::fields(fields),
            table.render(),
            listed("Not taken over, open proposals", proposals),
            listed("Not taken over, scheduled changes (propose them again)", scheduled),
            self.agreement
        )
    }

    fn clients(&self) -> String {
        let left_out = match self.clients_left_out {
            0 => String::new(),
            count => format!(", {count} of removed members left out"),
        };
        format!("{} taken over{left_out}; submit mode {}", self.clients, self.submit)
    }
}

/// Everything that the operators must agree on: the new chain id covers all of it.
fn agreement(predecessor: &Predecessor, genesis: &Genesis) -> String {
    format!(
        "block {} {} of chain {} continues as chain {}",
        predecessor.height,
        predecessor.block,
        predecessor.chain_id,
        genesis.chain_id()
    )
}

fn validators(state: &State, genesis: &Genesis) -> Vec<ValidatorReport> {
    let members = state.next_config().members();
    let report = |validator: &Validator| {
        let before = members.iter().find(|member| member.name.as_str() == validator.name);
        let change = before.map_or("added", |member| {
            let consensus = member.consensus_key != validator.public_key;
            let governance = member.governance_key != validator.governance_key;
            match (consensus, governance) {
                (false, false) => "",
                (true, false) => "new public key",
                (false, true) => "new governance key",
                (true, true) => "new keys",
            }
        });
        ValidatorReport {
            name: validator.name.clone(),
            public_key: validator.public_key.to_string(),
            governance_key: validator.governance_key.to_string(),
            change,
        }
    };
    genesis.validators().iter().map(report).collect()
}

fn not_taken_over(state: &State) -> NotTakenOver {
    let text = |changes: &[Change]| {
        let texts: Vec<String> = changes.iter().map(|change| DescribedChange::from(change).text).collect();
        texts.join("; ")
    };
    let proposals = state.proposals().values();
    let proposals = proposals.map(|open| format!("of {}: {}", open.proposer, text(&open.changes)));
    let scheduled = state.scheduled().values().filter_map(|scheduled| match &scheduled.effect {
        Effect::Decision { changes, .. } => Some(text(changes)),
        // It follows from the open proposals.
        Effect::SetCandidates { .. } => None,
        other => Some(other.to_string()),
    });
    NotTakenOver { proposals: proposals.collect(), scheduled: scheduled.collect() }
}

fn listed(title: &str, texts: &[String]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let lines: String = texts.iter().take(LISTED).map(|text| format!("  - {text}\n")).collect();
    let more = match texts.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("  - and {more} more\n"),
    };
    format!("\n{title}:\n{lines}{more}")
}
