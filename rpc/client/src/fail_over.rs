//! Tries a request at one node after the other until one succeeds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::ClientError;
use crate::rpc::Rpc;

/// First pause after a round in which every node failed; doubles with every round.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause, even if a node asks for a longer one.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The nodes, and the one that succeeded last.
#[derive(Debug)]
pub(crate) struct Nodes {
    nodes: Vec<Rpc>,
    preferred: AtomicUsize,
}

/// The outcome of a request to one node.
pub(crate) enum Outcome<T> {
    /// The result.
    Done(T),
    /// A preliminary result: continue, and return it if there is no final one in time.
    SoFar(T),
    /// No result; the error says whether another node may succeed.
    Failed(ClientError),
    /// No result, for a reason that would be final if this node were up to date: continue.
    Doubtful(ClientError),
}

impl<T> From<Result<T, ClientError>> for Outcome<T> {
    fn from(result: Result<T, ClientError>) -> Self {
        match result {
            Ok(answer) => Outcome::Done(answer),
            Err(error) => Outcome::Failed(error),
        }
    }
}

impl Nodes {
    pub(crate) fn new(nodes: Vec<Rpc>) -> Result<Self, ClientError> {
        if nodes.is_empty() {
            return Err(ClientError::NoNode);
        }
        Ok(Nodes { nodes, preferred: AtomicUsize::new(0) })
    }

    pub(crate) fn all(&self) -> &[Rpc] {
        &self.nodes
    }

    /// Index of the node that succeeded last.
    pub(crate) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// Tries one node after the other, beginning with the one that succeeded last, until one
    /// returns a result, one fails in a way that no other node can improve, or the time is over.
    /// Tries every node at least once unless it ends before. `ask` gets the remaining time.
    pub(crate) async fn ask<T, F>(
        &self,
        within: Duration,
        mut ask: impl FnMut(Rpc, Duration) -> F,
    ) -> Result<T, ClientError>
    where
        F: Future<Output = Outcome<T>>,
    {
        let deadline = Instant::now() + within;
        let mut so_far = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let first = self.preferred.load(Ordering::Relaxed);
            let mut last_error = None;
            for step in 0..self.nodes.len() {
                let index = (first + step) % self.nodes.len();
                let left = deadline.saturating_duration_since(Instant::now());
                match ask(self.nodes[index].clone(), left).await {
                    Outcome::Done(answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Outcome::SoFar(answer) => {
                        so_far = Some(answer);
                        if Instant::now() >= deadline {
                            break;
                        }
                    }
                    Outcome::Failed(error) if !error.is_worth_another_try() => return so_far.ok_or(error),
                    Outcome::Failed(error) | Outcome::Doubtful(error) => {
                        tracing::debug!(%error, "trying the next node");
                        last_error = Some(error);
                    }
                }
            }
            let asked_for = last_error.as_ref().and_then(ClientError::retry_after).unwrap_or_default();
            let resume = Instant::now() + spread(pause.max(asked_for).min(LONGEST_PAUSE));
            if resume >= deadline {
                return match (so_far, last_error) {
                    (Some(answer), _) => Ok(answer),
                    (None, Some(error)) => Err(error),
                    (None, None) => Err(ClientError::NoNode),
                };
            }
            sleep_until(resume).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Between one and one and a half times the pause, so that clients that failed at the same time do
/// not retry at the same time.
pub(crate) fn spread(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness they retry at the same time, which is acceptable.
    let _ = getrandom::fill(&mut byte);
    pause + pause * u32::from(byte[0]) / 512
}
