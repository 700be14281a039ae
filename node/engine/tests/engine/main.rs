//! Whole committees of engines in lock-step: how an engine works together with others.
#![allow(clippy::unwrap_used)]

mod batching;
mod censorship;
mod checkpoints;
mod deadlines;
mod epochs;
mod evidence;
mod exactly_once;
mod fetching;
mod floods;
mod lifetimes;
mod message_limits;
mod net;
mod old_files;
mod pauses;
mod pool_shares;
mod recovery;
mod registry;
mod view_changes;
mod wire;
