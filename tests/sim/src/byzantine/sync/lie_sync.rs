//! Wrong responses to requests.

use quorate_engine::{FetchRequest, FetchResponse};
use quorate_ledger::{ReplicaId, Timestamp};

use crate::byzantine::{Collusion, Strategy};

/// Responds with something else than what was requested.
#[derive(Debug)]
pub(crate) struct LieInAnswers;

impl Strategy for LieInAnswers {
    fn answer(
        &mut self,
        collusion: &mut Collusion,
        _to: ReplicaId,
        _ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        if collusion.random.permille(150) {
            return FetchResponse::Nothing;
        }
        match answer {
            FetchResponse::Blocks(mut run) => {
                match collusion.random.between(0, 6) {
                    0 => run.truncate(run.len() / 2),
                    1 => run[0].header.timestamp = Timestamp(run[0].header.timestamp.0 + 1),
                    2 => {
                        let first = run[0].certificate.clone();
                        if let Some(last) = run.last_mut() {
                            last.certificate = first;
                        }
                    }
                    3 => run.reverse(),
                    4 => run[0].body = vec![0; 4],
                    // As few blocks as are still useful.
                    5 => {
                        let certified = run.iter().position(|block| block.certificate.is_some());
                        run.truncate(certified.map_or(1, |position| position + 1));
                    }
                    _ => drop(run.remove(0)),
                }
                FetchResponse::Blocks(run)
            }
            FetchResponse::Transactions(mut transactions) => {
                match collusion.random.between(0, 2) {
                    0 => transactions.reverse(),
                    1 => drop(transactions.remove(0)),
                    _ => transactions[0].nonce += 1,
                }
                FetchResponse::Transactions(transactions)
            }
            other => other,
        }
    }
}
