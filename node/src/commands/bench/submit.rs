//! The workers that submit transactions: batches of JSON-RPC requests through the RPC ports of all
//! nodes.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use quorate_api::{ErrorData, ErrorKind, RpcError, TransactionStatus};
use serde::Deserialize;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::load::Load;
use super::tally::Tally;
use crate::http::{Connection, Endpoint};

/// How long the response to a batch may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// First and longest pause before refused transactions are sent again. If a node names a pause, the
/// worker waits that long, but no longer than the longest pause.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Upper limit of batches that are due and wait for a connection, at a given rate. Transactions
/// beyond it are not sent.
const MAX_WAITING_BATCHES: usize = 1000;

/// When transactions are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// Send a transaction as soon as another one is committed, so that the number in flight is
    /// constant.
    Saturate {
        /// Transactions in flight.
        in_flight: u32,
    },
    /// This many per second, regardless of the responses.
    Rate(f64),
}

/// How transactions are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// When to send.
    pub(super) pace: Pace,
    /// How long to send.
    pub(super) duration: Duration,
    /// Upper limit of transactions in a request. At a given rate no transaction waits for a batch
    /// to fill: a batch holds those that are due.
    pub(super) batch: u32,
    /// Connections to each node.
    pub(super) connections: usize,
}

/// Positions of the load that are sent in one request.
#[derive(Debug, Clone, Copy)]
struct Batch {
    first: u32,
    count: u32,
}

/// State that all workers share.
pub(super) struct Submission {
    pub(super) load: Arc<Load>,
    pub(super) tally: Arc<Tally>,
    /// Permits for transactions in flight; one is released for each transaction that is committed
    /// or refused.
    pub(super) room: Arc<Semaphore>,
    endpoints: Vec<Endpoint>,
    plan: Plan,
    /// The run is over: nothing is retried.
    over: CancellationToken,
}

impl Submission {
    /// Prepares a run that has not begun.
    pub(super) fn new(load: Arc<Load>, tally: Arc<Tally>, endpoints: Vec<Endpoint>, plan: Plan) -> Self {
        let room = match plan.pace {
            Pace::Saturate { in_flight } => in_flight.max(plan.batch) as usize,
            Pace::Rate(_) => 0,
        };
        let room = Arc::new(Semaphore::new(room));
        Submission { load, tally, room, endpoints, plan, over: CancellationToken::new() }
    }

    /// Sends until the time is over or every transaction was sent, and waits for the last
    /// responses. Returns how long transactions were sent.
    pub(super) async fn run(self: Arc<Self>) -> Duration {
        let workers = self.endpoints.len() * self.plan.connections;
        let waiting = match self.plan.pace {
            Pace::Saturate { .. } => workers,
            Pace::Rate(_) => MAX_WAITING_BATCHES,
        };
        // Idle workers wait in line for the next batch, so all nodes get their share.
        let (sender, receiver) = mpsc::channel(waiting);
        let queue = Arc::new(Mutex::new(receiver));
        let mut running = JoinSet::new();
        for worker in 0..workers {
            let node = worker % self.endpoints.len();
            running.spawn(Arc::clone(&self).work(node, Arc::clone(&queue)));
        }
        let end = Instant::from_std(self.tally.started_at()) + self.plan.duration;
        let filling = async {
            match self.plan.pace {
                Pace::Saturate { .. } => self.saturate(&sender).await,
                Pace::Rate(rate) => self.pace(rate, &sender).await,
            }
        };
        tokio::select! {
            () = filling => {}
            () = sleep_until(end) => {}
        }
        let sending = self.tally.started_at().elapsed();
        drop(sender);
        let mut answered = async || while running.join_next().await.is_some() {};
        tokio::select! {
            () = answered() => {}
            () = sleep_until(end) => {}
        }
        self.over.cancel();
        answered().await;
        sending
    }

    async fn saturate(&self, queue: &mpsc::Sender<Batch>) {
        let total = u32::try_from(self.load.len()).unwrap_or(u32::MAX);
        let mut first = 0;
        while first < total {
            let count = self.plan.batch.min(total - first);
            let Ok(room) = self.room.acquire_many(count).await else { return };
            room.forget();
            if queue.send(Batch { first, count }).await.is_err() {
                return;
            }
            first += count;
        }
    }

    /// The due time of a transaction depends only on its position, and its latency counts from
    /// then. Otherwise a slow network would hide its delay (coordinated omission).
    async fn pace(&self, rate: f64, queue: &mpsc::Sender<Batch>) {
        let total = u32::try_from(self.load.len()).unwrap_or(u32::MAX);
        let start = Instant::from_std(self.tally.started_at());
        let mut first = 0;
        while first < total {
            sleep_until(start + due_at(first, rate)).await;
            // The next one is due even if the two divisions round differently.
            let due = due_by(start.elapsed(), rate).clamp(first + 1, total);
            while first < due {
                let count = self.plan.batch.min(due - first);
                if queue.try_send(Batch { first, count }).is_err() {
                    self.tally.counts().not_sent += u64::from(count);
                }
                first += count;
            }
        }
    }

    async fn work(self: Arc<Self>, mut node: usize, queue: Arc<Mutex<mpsc::Receiver<Batch>>>) {
        let mut connection = self.connect(node);
        loop {
            let next = queue.lock().await.recv().await;
            let Some(batch) = next else { return };
            let mut positions: Vec<u32> = (batch.first..batch.first + batch.count).collect();
            let mut pause = FIRST_PAUSE;
            loop {
                let answer = self.submit(&mut connection, &positions).await;
                positions = answer.again;
                if positions.is_empty() {
                    break;
                }
                let wait = answer.wait.unwrap_or(pause).min(LONGEST_PAUSE);
                pause = (pause * 2).min(LONGEST_PAUSE);
                tokio::select! {
                    () = sleep(wait) => {}
                    () = self.over.cancelled() => {
                        self.tally.counts().given_up += positions.len() as u64;
                        break;
                    }
                }
                if answer.unreachable {
                    // Any node accepts the same bytes.
                    node = (node + 1) % self.endpoints.len();
                    connection = self.connect(node);
                }
            }
        }
    }

    fn connect(&self, node: usize) -> Connection {
        Connection::new(self.endpoints[node].clone(), TIMEOUT)
    }

    async fn submit(&self, connection: &mut Connection, positions: &[u32]) -> Answer {
        let now = self.tally.started_at().elapsed();
        for position in positions {
            let due = match self.plan.pace {
                Pace::Saturate { .. } => now,
                Pace::Rate(rate) => due_at(*position, rate),
            };
            self.tally.sent(*position, due);
        }
        match connection.post(self.request(positions)).await {
            Ok((status, body)) => self.read(positions, status, &body),
            Err(_) => self.count_retried(positions, "connection", None),
        }
    }

    fn request(&self, positions: &[u32]) -> Bytes {
        let mut body = String::from("[");
        for (number, position) in positions.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(
                body,
                r#"{comma}{{"jsonrpc":"2.0","id":{position},"method":"tx_submit","params":["{}"]}}"#,
                self.load.encoded(*position)
            )
            .expect("writing to a string cannot fail");
        }
        body.push(']');
        body.into()
    }

    fn read(&self, positions: &[u32], status: StatusCode, body: &[u8]) -> Answer {
        match serde_json::from_slice(body) {
            Ok(Replies::Each(replies)) => self.count(positions, replies),
            Ok(Replies::Whole(Reply { error: Some(error), .. })) => {
                let data = error.data();
                if data.retryable {
                    return self.count_retried(positions, data.kind.name(), data.retry_after_ms);
                }
                self.refused(positions.len(), data.kind.name());
                Answer::default()
            }
            _ => self.count_retried(positions, &format!("http_{}", status.as_u16()), None),
        }
    }

    /// Counts a request without a valid response as retried, with all its transactions.
    fn count_retried(&self, positions: &[u32], kind: &str, retry_after_ms: Option<u64>) -> Answer {
        *self.tally.counts().retried.entry(kind.to_owned()).or_default() += positions.len() as u64;
        Answer {
            again: positions.to_vec(),
            wait: retry_after_ms.map(Duration::from_millis),
            unreachable: true,
        }
    }

    fn count(&self, positions: &[u32], replies: Vec<Reply>) -> Answer {
        let mut answer = Answer::default();
        let mut open: std::collections::BTreeSet<u32> = positions.iter().copied().collect();
        for reply in replies {
            let Some(position) = reply.id.filter(|id| open.remove(id)) else { continue };
            match (reply.result, reply.error) {
                (Some(Submitted { status }), _) => match status {
                    TransactionStatus::Expired | TransactionStatus::Rejected { .. } => {
                        self.refused(1, status.name());
                    }
                    _ => self.tally.counts().accepted += 1,
                },
                (None, Some(error)) => {
                    let data = error.data();
                    if data.retryable {
                        *self.tally.counts().retried.entry(data.kind.name().to_owned()).or_default() += 1;
                        answer.again.push(position);
                        answer.wait = answer.wait.max(data.retry_after_ms.map(Duration::from_millis));
                    } else {
                        self.refused(1, data.kind.name());
                    }
                }
                (None, None) => self.refused(1, "unreadable_answer"),
            }
        }
        // A correct node answers every entry of a batch. Entries without an answer are sent again.
        answer.again.extend(open);
        answer
    }

    fn refused(&self, count: usize, kind: &str) {
        *self.tally.counts().refused.entry(kind.to_owned()).or_default() += count as u64;
        if let Pace::Saturate { .. } = self.plan.pace {
            self.room.add_permits(count);
        }
    }
}

/// When a transaction is due after the start. The first is due at once.
fn due_at(position: u32, rate: f64) -> Duration {
    Duration::from_secs_f64(f64::from(position) / rate)
}

/// How many transactions are due by a time.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, which is what is wanted
fn due_by(time: Duration, rate: f64) -> u32 {
    ((time.as_secs_f64() * rate).floor() as u32).saturating_add(1)
}

/// The transactions of a batch that remain after one attempt.
#[derive(Debug, Default)]
struct Answer {
    again: Vec<u32>,
    wait: Option<Duration>,
    unreachable: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Replies {
    Each(Vec<Reply>),
    Whole(Reply),
}

#[derive(Deserialize)]
struct Reply {
    id: Option<u32>,
    result: Option<Submitted>,
    error: Option<ReplyError>,
}

#[derive(Deserialize)]
struct Submitted {
    #[serde(flatten)]
    status: TransactionStatus,
}

#[derive(Deserialize)]
struct ReplyError {
    code: i32,
    data: Option<ErrorData>,
}

impl ReplyError {
    fn data(self) -> ErrorData {
        let of_code = || RpcError::new(ErrorKind::of_code(self.code).unwrap_or(ErrorKind::Other), "").data;
        self.data.unwrap_or_else(of_code)
    }
}

#[cfg(test)]
#[path = "submit_tests.rs"]
mod tests;
