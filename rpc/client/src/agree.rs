//! PBFT's rule for clients: if f + 1 members return the same result, at least one correct member
//! does. Nodes do not prove over RPC which member they are, so [`Client::agreed`] says what holds
//! without that.

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
    /// that nodes with f + 1 different keys of the committee agree on. At least one of them is
    /// correct if at most f of the given URLs lead to faulty nodes.
    ///
    /// Use it for facts that change rarely, such as that a transaction has expired, or the set of
    /// validators. Heads and pools differ even between correct nodes. For results that can be
    /// proven, one node suffices. Every node gets the request once, with its usual time limit.
    ///
    /// It counts the keys that nodes claim (`node_status`): several URLs with the same key count
    /// once, and keys outside the committee, such as those of observers, do not count. No key is
    /// proven: that would need a signature over a challenge of the client, and nodes sign none. So
    /// all that is certain is that f + 1 different URLs returned the result. An operator with
    /// f + 1 of the URLs, or with the network in front of them, can claim f + 1 keys. Use URLs of
    /// operators that you know, over connections that you trust.
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
        let needed = self.anchor().newest().weak_quorum();
        let mut urls = BTreeSet::new();
        let nodes = self.nodes().iter().filter(|node| urls.insert(node.url()));
        let mut open: FuturesUnordered<_> = nodes
            .map(|node| {
                let answering = ask(node.clone());
                try_join(self.claimed_member(node), answering)
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

    /// The member of the committee that a node claims to be, without proof.
    async fn claimed_member(&self, node: &Rpc) -> Result<ReplicaId, CallError> {
        let key = node.node_status().await?.public_key;
        let member = self.anchor().newest().index_of(&key);
        member.ok_or_else(|| CallError::NoMember { url: node.url().to_owned() })
    }
}
