//! Messages in transit: bytes, decoded with the production codecs.

use std::cell::OnceCell;
use std::rc::Rc;

use quorate_engine::MemberMessage;
use quorate_ledger::{ReplicaId, SignatureCache, Transaction, VerifiedTransaction};
use quorate_pbft::{Checked, EpochContext, Message};

/// One message, shared by all receivers. Decoding gives the same result for all members, so it
/// happens once. If members share a memo of signatures, the message is also checked once for all of
/// them. Otherwise every receiver checks it again.
#[derive(Debug, Clone)]
pub struct Packet(Rc<Sealed>);

#[derive(Debug)]
struct Sealed {
    from: ReplicaId,
    bytes: Vec<u8>,
    decoded: OnceCell<Result<MemberMessage, String>>,
    opened: OnceCell<Result<Opened, String>>,
}

/// A message that passed all production checks.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one at a time, taken apart at once")]
pub enum Opened {
    /// Of the ordering protocol.
    Consensus(Checked),
    /// Transactions.
    Transactions(Vec<VerifiedTransaction>),
}

impl Packet {
    /// A message of this member.
    pub fn new(from: ReplicaId, bytes: Vec<u8>) -> Self {
        Packet(Rc::new(Sealed { from, bytes, decoded: OnceCell::new(), opened: OnceCell::new() }))
    }

    /// Who sent it.
    pub fn from(&self) -> ReplicaId {
        self.0.from
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The message of the ordering protocol in it; `None` if it is another one, or does not decode.
    pub fn consensus(&self) -> Option<&Message> {
        match self.decoded() {
            Ok(MemberMessage::Consensus(message)) => Some(message),
            _ => None,
        }
    }

    fn decoded(&self) -> &Result<MemberMessage, String> {
        let decode = || MemberMessage::from_bytes(&self.0.bytes).map_err(|error| error.to_string());
        self.0.decoded.get_or_init(decode)
    }

    /// Decodes and checks it, for receivers in the epoch of the message, where `from` is the index of the
    /// sender: once for all receivers if they share a memo, otherwise for this
    /// receiver.
    ///
    /// # Errors
    /// Why a member would drop it.
    pub fn open(
        &self,
        from: ReplicaId,
        context: &EpochContext,
        signatures: &SignatureCache,
    ) -> Result<Opened, String> {
        if context.memo.is_some() {
            self.0.opened.get_or_init(|| self.read(from, context, signatures)).clone()
        } else {
            self.read(from, context, signatures)
        }
    }

    fn read(
        &self,
        from: ReplicaId,
        context: &EpochContext,
        signatures: &SignatureCache,
    ) -> Result<Opened, String> {
        match self.decoded().clone()? {
            MemberMessage::Consensus(message) => {
                message.check(from, context).map(Opened::Consensus).map_err(|error| error.to_string())
            }
            MemberMessage::Transactions(transactions) => {
                verify_all(transactions, signatures).map(Opened::Transactions)
            }
            MemberMessage::Head(_) => Err("a head is for observers".to_owned()),
        }
    }
}

/// Checks the signatures of transactions that a member relayed.
///
/// # Errors
/// The first invalid one.
pub fn verify_all(
    transactions: Vec<Transaction>,
    signatures: &SignatureCache,
) -> Result<Vec<VerifiedTransaction>, String> {
    transactions
        .into_iter()
        .map(|transaction| signatures.verify(transaction).map_err(|error| error.to_string()))
        .collect()
}
