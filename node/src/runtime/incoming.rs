//! From the network to those who do the work: messages of members go to the checking threads, questions to the ledger.
//! Nothing is decoded here but questions.

use std::sync::Arc;

use quorate_engine::{Answer, Ask, serve_committed, serve_run};
use quorate_ledger::decode;
use quorate_network::{NetworkEvent, NetworkEvents, PeerKey, Room};
use quorate_store::{LedgerReader, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::checking::{Checker, News};
use super::members::Members;
use super::observer_questions::ObserverQuestions;
use super::places::{Line, Places};
use super::work::Work;

/// Answers to members that are made from the ledger at a time, all together. Each reads and holds a few megabytes.
const SERVED_AT_A_TIME: usize = 2;

/// Questions of one member that wait for the ledger: as many as the network lets it have open.
const QUESTIONS_OF_EACH: usize = 8;

pub(crate) struct Incoming {
    pub(crate) members: Arc<Members>,
    pub(crate) checker: Checker,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) ledger: LedgerReader,
}

impl Incoming {
    /// Runs until the network ends, the engine is gone, or a checking thread ended.
    pub(crate) async fn run(self, mut events: NetworkEvents) {
        let mut places = Places::new(SERVED_AT_A_TIME, QUESTIONS_OF_EACH);
        let mut observers = ObserverQuestions::new(self.ledger.clone());
        while let Some((event, room)) = events.recv_with_room().await {
            let goes_on = match event {
                NetworkEvent::Connected { peer } => {
                    self.say(&peer, "connected");
                    match self.members.index(&peer) {
                        Some(_) => self.check(&peer, News::Connected, room),
                        None => self.inbox.send(Work::ObserverUp).await.is_ok(),
                    }
                }
                NetworkEvent::Disconnected { peer } => {
                    self.say(&peer, "disconnected");
                    self.check(&peer, News::Disconnected, room)
                }
                NetworkEvent::Message { from, bytes } => {
                    self.check(&from, News::Message { bytes, direct: true }, room)
                }
                NetworkEvent::Gossip { from, bytes } => {
                    self.check(&from, News::Message { bytes, direct: false }, room)
                }
                NetworkEvent::Request { from, bytes, answer } if self.members.index(&from).is_none() => {
                    observers.question(&from, &bytes, answer);
                    true
                }
                NetworkEvent::Request { from, bytes, answer } => {
                    match self.question(&bytes, answer, places.line(&from)) {
                        Some(work) => self.inbox.send(work).await.is_ok(),
                        None => true,
                    }
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Hands over what a member did; of others nothing is taken. `false` if nothing is checked any more.
    fn check(&self, peer: &PeerKey, news: News, room: Room) -> bool {
        self.members.index(peer).is_none_or(|from| self.checker.push(from, news, room))
    }

    fn say(&self, peer: &PeerKey, what: &'static str) {
        match self.members.index(peer) {
            Some(replica) => tracing::info!(validator = self.members.name(replica), "{what}"),
            None => tracing::info!(observer = %peer, "{what}"),
        }
    }

    /// Answers a member's question, or says what the engine is to be asked first. To drop `answer` is to refuse.
    fn question(&self, bytes: &[u8], answer: quorate_network::Answer, line: Line) -> Option<Work> {
        let ledger = self.ledger.clone();
        match decode::<Ask>(bytes) {
            Ok(Ask::Blocks { from }) => {
                tokio::spawn(from_ledger(line, answer, ledger, move |ledger| serve_run(ledger, from)));
                None
            }
            Ok(ask @ (Ask::Transactions { .. } | Ask::Ids { .. })) => {
                let (reply, in_flight) = oneshot::channel();
                let wanted = ask.clone();
                tokio::spawn(async move {
                    let Ok(in_flight) = in_flight.await else { return };
                    if in_flight != Answer::Nothing {
                        return answer.send(quorate_ledger::encode(&in_flight).into());
                    }
                    // Committed meanwhile, perhaps: the ledger is asked here, not on the engine's thread.
                    from_ledger(line, answer, ledger, move |ledger| serve_committed(ledger, &wanted)).await;
                });
                Some(Work::Ask { ask, reply })
            }
            Err(error) => {
                tracing::debug!(%error, "question rejected");
                None
            }
        }
    }
}

/// Answers a question from the ledger when it is the asker's turn.
async fn from_ledger(
    line: Line,
    answer: quorate_network::Answer,
    ledger: LedgerReader,
    read: impl FnOnce(&LedgerReader) -> Result<Answer, StoreError> + Send + 'static,
) {
    // Dropping `answer` refuses the question.
    let Some(turn) = line.turn().await else { return };
    tokio::task::spawn_blocking(move || {
        answer.send(quorate_ledger::encode(&served(&ledger, read(&ledger))).into());
        drop(turn);
    });
}

/// What a read of the ledger gave, or nothing: the member that asked then asks another one. A ledger that is damaged
/// remembers it, so others can ask as often as they like and the log has it once.
pub(super) fn served(ledger: &LedgerReader, read: Result<Answer, StoreError>) -> Answer {
    read.unwrap_or_else(|error| {
        if ledger.damage().is_some_and(|damage| damage.failed_reads > 1) {
            tracing::debug!(%error, "the ledger cannot be read for another node");
        } else {
            tracing::error!(%error, "the ledger cannot be read for another node");
        }
        Answer::Nothing
    })
}
