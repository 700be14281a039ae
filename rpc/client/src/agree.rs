//! PBFT's rule for clients: if f + 1 members return the same result, at least one honest member
//! does.

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::future::try_join;
use futures::stream::FuturesUnordered;
use quorate_ledger::ReplicaId;

use crate::client::Client;
use crate::error::{CallError, ClientError};
use crate::rpc::Rpc;

impl Client {
    /// Requests something that no node can prove from all nodes at once, and returns the result
    /// that f + 1 members of the committee agree on: at least one of them is honest.
    ///
    /// Use it for facts that change rarely, such as that a transaction has expired, or the set of
    /// validators. Heads and pools differ even between honest nodes. For results that can be
    /// proven, one node suffices. Every node gets the request once, with its usual time limit.
    ///
    /// It counts members, not addresses: each node also returns its key (`node_status`), and
    /// several nodes with the same key are one member. Nodes whose key is not in the committee,
    /// such as observers, do not count. Nodes do not prove their keys over RPC, so this is sound
    /// only if no operator has more of the addresses than members: an operator with two addresses
    /// can claim two keys.
    ///
    /// ```no_run
    /// # async fn example(client: quorate_client::Client, id: quorate_ledger::TransactionId) {
    /// let status = client.agreed(async |node: quorate_client::Rpc| node.tx_status(id).await).await;
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NoAgreement`] as soon as no result can reach f + 1 members.
    pub async fn agreed<T: PartialEq, F>(&self, ask: impl Fn(Rpc) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let needed = self.anchor().committee.weak_quorum();
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

    /// The member of the committee that a node claims to be.
    async fn member_at(&self, node: &Rpc) -> Result<ReplicaId, CallError> {
        let key = node.node_status().await?.public_key;
        let member = self.anchor().committee.index_of(&key);
        member.ok_or_else(|| CallError::NoMember { url: node.url().to_owned() })
    }
}
