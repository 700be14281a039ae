//! What only a validator runs: the engine's thread, checks of messages and transactions, and answers to other
//! nodes.

pub(crate) mod answering;
pub(crate) mod checking;
pub(crate) mod driver;
pub(crate) mod heads;
pub(crate) mod inbox;
pub(crate) mod incoming;
pub(crate) mod outgoing;
pub(crate) mod verify;
