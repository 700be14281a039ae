//! What a network of nodes does with transactions, blocks and members that come and go.

mod catching_up;
mod crashes;
mod observers;
mod ordering;
mod quorum;
mod receipts;
mod refusals;
