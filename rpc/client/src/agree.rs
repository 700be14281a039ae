//! PBFT's rule for clients: what f + 1 members say alike, an honest one says.

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::future::try_join;
use futures::stream::FuturesUnordered;
use quorate_ledger::ReplicaId;

use crate::client::Client;
use crate::error::{CallError, ClientError};
use crate::rpc::Rpc;

impl Client {
    /// Asks all nodes at once for something that none of them can prove, and gives out what f + 1 members of the
    /// committee answer alike: at least one of those is honest.
    ///
    /// For what does not change from moment to moment, such as that a transaction has expired, or which validators
    /// there are; heads and pools of honest nodes differ as well. Everything that can be proven is better asked
    /// of one node. Every node is asked once, within its usual time.
    ///
    /// Members are counted, not addresses: each node is asked for its key, too (`node_status`), and several nodes with
    /// the same key are one member. Nodes whose key is not in the committee, such as observers, do not count.
    /// No node proves its key over RPC. So this holds if no operator has more of the addresses than
    /// members: an operator with two addresses can claim two keys.
    ///
    /// ```no_run
    /// # async fn example(client: quorate_client::Client, id: quorate_ledger::TransactionId) {
    /// let status = client.agreed(async |node: quorate_client::Rpc| node.tx_status(id).await).await;
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NoAgreement`] as soon as no answer can come to f + 1 any more.
    pub async fn agreed<T: PartialEq, F>(&self, ask: impl Fn(Rpc) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let needed = self.anchor().committee.one_honest();
        let mut urls = BTreeSet::new();
        let nodes = self.nodes().iter().filter(|node| urls.insert(node.url()));
        let mut open: FuturesUnordered<_> = nodes
            .map(|node| {
                let answering = ask(node.clone());
                try_join(self.member_at(node), answering)
            })
            .collect();
        let asked = open.len();
        let mut answers: Vec<(T, BTreeSet<ReplicaId>)> = Vec::new();
        let mut last_error = None;
        let mut alike = 0;
        while alike + open.len() >= needed {
            match open.next().await {
                Some(Ok((member, answer))) => {
                    let known = answers.iter().position(|(other, _)| *other == answer);
                    let place = known.unwrap_or_else(|| {
                        answers.push((answer, BTreeSet::new()));
                        answers.len() - 1
                    });
                    answers[place].1.insert(member);
                    alike = alike.max(answers[place].1.len());
                    if alike >= needed {
                        return Ok(answers.swap_remove(place).0);
                    }
                }
                Some(Err(error)) => last_error = Some(error),
                None => break,
            }
        }
        Err(ClientError::NoAgreement { needed, alike, asked, last_error: last_error.map(Box::new) })
    }

    /// The member of the committee that a node says it is.
    async fn member_at(&self, node: &Rpc) -> Result<ReplicaId, CallError> {
        let key = node.node_status().await?.public_key;
        let member = self.anchor().committee.index_of(&key);
        member.ok_or_else(|| CallError::NoMember { url: node.url().to_owned() })
    }
}
