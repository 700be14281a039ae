//! Whole committees of engines in lock-step: what an engine must get right together with others.
#![allow(clippy::unwrap_used)]

mod batching;
mod bodies;
mod catch_up;
mod craft;
mod deadlines;
mod exactly_once;
mod floods;
mod lifetimes;
mod net;
mod recovery;
mod wire;
