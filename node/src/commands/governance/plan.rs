//! What a command is about to submit.

use quorate_api::{ChangeJson, GovernanceStatus, OperationJson};
use quorate_governance::{Change, Name, Operation, ProposalId};

/// An operation, with what is needed to preview it and to find what it decided.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The operation.
    pub(crate) operation: Operation,
    /// The proposal that it approves or withdraws from.
    pub(crate) proposal: Option<ProposalId>,
    /// What the text of the scheduled change contains, if the operation decides one by itself.
    pub(crate) subject: Option<String>,
    /// Whether the sender is a candidate, with its future consensus key.
    pub(crate) by_candidate: bool,
}

impl Plan {
    /// A proposal of these changes.
    pub(crate) fn propose(changes: Vec<Change>) -> Self {
        Plan { operation: Operation::Propose { changes }, proposal: None, subject: None, by_candidate: false }
    }

    /// An operation about an open proposal.
    pub(crate) fn about(operation: Operation, proposal: ProposalId) -> Self {
        Plan { operation, proposal: Some(proposal), subject: None, by_candidate: false }
    }

    /// An operation that its sender decides alone. `subject` is in the text of the scheduled change.
    pub(crate) fn alone(operation: Operation, subject: String) -> Self {
        Plan { operation, proposal: None, subject: Some(subject), by_candidate: false }
    }

    /// The READY of a candidate.
    pub(crate) fn ready(operation: Operation) -> Self {
        Plan { operation, proposal: None, subject: None, by_candidate: true }
    }

    /// The operation in words.
    pub(crate) fn text(&self) -> String {
        OperationJson::from(&self.operation).to_string()
    }

    /// The changes of the network that it proposes.
    pub(crate) fn changes(&self) -> Option<Vec<ChangeJson>> {
        match &self.operation {
            Operation::Propose { changes } => Some(changes.iter().map(ChangeJson::from).collect()),
            _ => None,
        }
    }
}

/// The name of a member or client, or an error that says what a name is.
pub(super) fn member_names(status: &GovernanceStatus) -> String {
    let names: Vec<&str> = status.members.iter().map(|member| member.name.as_str()).collect();
    names.join(", ")
}

/// Checks that the committee has this member, before a proposal about it is made.
pub(crate) fn require_member(status: &GovernanceStatus, name: &Name) -> anyhow::Result<()> {
    let known = status.members.iter().any(|member| member.name == name.as_str());
    anyhow::ensure!(known, "no member is called {name}: the members are {}", member_names(status));
    Ok(())
}
