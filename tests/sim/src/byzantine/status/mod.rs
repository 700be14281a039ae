//! Attacks on what members report to each other: STATUS, SEEN, CHECKPOINT and evidence.

mod accuse;
mod forge_seen;
mod keep_checkpoints;
mod lie_checkpoint;
mod lie_status;

pub(super) use accuse::Accuse;
pub(super) use forge_seen::ForgeSeen;
pub(super) use keep_checkpoints::KeepCheckpoints;
pub(super) use lie_checkpoint::LieInCheckpoints;
pub(super) use lie_status::LieInStatus;
