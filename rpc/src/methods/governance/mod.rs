//! The governance methods. They show the state of this node's ledger after its newest block.

mod current;
mod history;
mod lists;

use quorate_api::{
    ChangeJson, ClientJson, Clients, EpochProofsJson, ErrorKind, GovernanceStatus, History, MAX_LISTED,
    MAX_PREVIEW_CHANGES, OutcomeJson, PreviewJson, ProposalJson, RpcError, TransactionStatus,
};
use quorate_governance::{Change, State};
use quorate_ledger::{Epoch, Height, PublicKey};

use super::Api;
use super::transactions::place;
use crate::json_rpc::{Arguments, Reply};
use crate::node::Node;

pub(crate) use current::CurrentState;

/// Most results of a list.
fn most(limit: Option<u32>) -> usize {
    let limit = limit.unwrap_or(MAX_LISTED).min(MAX_LISTED);
    usize::try_from(limit).expect("a small number")
}

impl<N: Node> Api<N> {
    /// Runs a governance method of the table.
    pub(super) async fn run_governance(
        &self,
        method: &'static str,
        mut arguments: Arguments<'_>,
        reply: Reply<'_>,
    ) -> Result<String, RpcError> {
        match method {
            "governance_status" => reply.with(&self.governance_status().await?),
            "governance_proposals" => reply.with(&self.governance_proposals().await?),
            "governance_preview" => reply.with(&self.governance_preview(&arguments.take::<Vec<_>>()?).await?),
            "governance_clients" => {
                let after = arguments.take_key()?;
                reply.with(&self.governance_clients(after, arguments.take()?).await?)
            }
            "governance_client" => {
                let key = arguments.take_key()?;
                reply.with(&self.governance_client(key).await?)
            }
            "governance_history" => {
                let below_height = arguments.take()?;
                reply.with(&self.governance_history(below_height, arguments.take()?).await?)
            }
            "network_epochs" => {
                let from_epoch = arguments.take()?;
                reply.with(&self.network_epochs(from_epoch, arguments.take()?).await?)
            }
            other => unreachable!("{other} is not a method of the table"),
        }
    }

    /// The governance state after the newest block.
    async fn governance(&self) -> Result<State, RpcError> {
        self.governance.get(&self.ledger).await
    }

    pub(crate) async fn governance_status(&self) -> Result<GovernanceStatus, RpcError> {
        Ok(lists::status(&self.governance().await?))
    }

    pub(crate) async fn governance_proposals(&self) -> Result<Vec<ProposalJson>, RpcError> {
        Ok(lists::proposals(&self.governance().await?))
    }

    pub(crate) async fn governance_preview(&self, changes: &[ChangeJson]) -> Result<PreviewJson, RpcError> {
        let invalid = |problem: String| {
            let message = format!("invalid params for governance_preview: \"changes\" {problem}");
            RpcError::new(ErrorKind::InvalidParams, message)
        };
        if changes.len() > MAX_PREVIEW_CHANGES {
            let problem =
                format!("has {} changes, but a proposal has at most {MAX_PREVIEW_CHANGES}", changes.len());
            return Err(invalid(problem));
        }
        let read: Result<Vec<Change>, _> = changes.iter().map(Change::try_from).collect();
        let read = read.map_err(|error| invalid(format!("has an invalid change: {error}")))?;
        let words = changes.iter().map(ToString::to_string).collect();
        Ok(PreviewJson::of(&self.governance().await?.preview(&read), words))
    }

    pub(crate) async fn governance_clients(
        &self,
        after: Option<PublicKey>,
        limit: Option<u32>,
    ) -> Result<Clients, RpcError> {
        let (state, limit) = (self.governance().await?, most(limit));
        // It visits all clients.
        self.ledger.read(move |_| Ok(lists::clients(&state, after.as_ref(), limit))).await
    }

    pub(crate) async fn governance_client(
        &self,
        key: Option<PublicKey>,
    ) -> Result<Option<ClientJson>, RpcError> {
        let Some(key) = key else { return Ok(None) };
        let state = self.governance().await?;
        Ok(state.next_config().client(&key).map(ClientJson::from))
    }

    pub(crate) async fn governance_history(
        &self,
        below_height: Option<u64>,
        limit: Option<u32>,
    ) -> Result<History, RpcError> {
        let (state, limit) = (self.governance().await?, most(limit));
        let below = Height(below_height.unwrap_or(u64::MAX));
        self.ledger.read(move |reader| history::read(reader, &state, below, limit)).await
    }

    pub(crate) async fn network_epochs(
        &self,
        from_epoch: Option<u64>,
        limit: Option<u32>,
    ) -> Result<EpochProofsJson, RpcError> {
        let (from, limit) = (Epoch(from_epoch.unwrap_or(0)), most(limit));
        let proofs = self.ledger.read(move |reader| reader.epoch_proofs(from, limit)).await?;
        Ok(EpochProofsJson::of(self.node.genesis().chain_id(), &proofs))
    }

    /// What became of a committed governance transaction; `None` for data and for other statuses.
    pub(super) fn outcome_of(&self, status: &TransactionStatus) -> Result<Option<OutcomeJson>, RpcError> {
        let Some((height, index)) = place(status) else { return Ok(None) };
        let outcome = self.ledger.look(|reader| reader.outcome(height, index))?;
        Ok(outcome.as_ref().map(OutcomeJson::from))
    }
}
