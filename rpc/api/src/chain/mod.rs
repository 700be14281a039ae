//! What is in the chain: blocks, transactions and their proofs, and how requests name them.

pub(crate) mod block;
pub(crate) mod epochs;
pub(crate) mod proof;
pub(crate) mod query;

#[cfg(test)]
mod fixture;
