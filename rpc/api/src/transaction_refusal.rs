//! The error that a client gets for each reason to refuse its transaction.

use quorate_ledger::{NotPermitted, Refusal, TransactionError};

use crate::error::{ErrorKind, RpcError};

/// When to try again after a full pool, a member's full share or a sender's full quota: a few blocks later.
const POOL_RETRY_MS: u64 = 500;

/// When to try again with a node that is stopping, or that failed to read its ledger.
const NODE_RETRY_MS: u64 = 2000;

/// The kind of error for a transaction that the configuration does not permit.
pub(crate) fn kind_of(reason: NotPermitted) -> ErrorKind {
    match reason {
        NotPermitted::SenderUnknown => ErrorKind::SenderUnknown,
        NotPermitted::SenderRevoked => ErrorKind::SenderRevoked,
        NotPermitted::Quota | NotPermitted::AboveQuota => ErrorKind::Quota,
    }
}

/// The message is the text of the reason.
impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let error = |kind| RpcError::new(kind, message);
        match refusal {
            Refusal::Invalid(TransactionError::TooLarge { bytes, limit }) => {
                error(ErrorKind::TransactionTooLarge).detail("bytes", bytes).detail("limit", limit)
            }
            Refusal::Invalid(TransactionError::BadSignature { chain }) => {
                error(ErrorKind::BadSignature).detail("chain_id", chain.to_string())
            }
            Refusal::Operation(_) => error(ErrorKind::OperationMalformed),
            Refusal::NotPermitted(reason) => error(kind_of(reason)),
            Refusal::Expired { valid_until, now } => error(ErrorKind::TransactionExpired)
                .detail("valid_until_ms", valid_until.0)
                .detail("now_ms", now.0),
            Refusal::LifetimeTooLong { valid_until, latest } => error(ErrorKind::LifetimeTooLong)
                .detail("valid_until_ms", valid_until.0)
                .detail("latest_ms", latest.0),
            Refusal::PoolFull { .. } | Refusal::MemberShare { .. } => {
                error(ErrorKind::PoolFull).retry_after_ms(POOL_RETRY_MS)
            }
            Refusal::SenderQuota { .. } => error(ErrorKind::SenderQuota).retry_after_ms(POOL_RETRY_MS),
            Refusal::LedgerDamaged => error(ErrorKind::StorageDamaged),
            Refusal::Observer => error(ErrorKind::Observer),
            Refusal::LedgerUnreadable | Refusal::Stopping => {
                error(ErrorKind::Unavailable).retry_after_ms(NODE_RETRY_MS)
            }
        }
    }
}
