//! Limits that requests of every kind share: memory, and requests per second of one client.

mod budget;
mod client;
mod rate;

pub(crate) use budget::{MemoryBudget, Reservation, UNIT_BYTES};
pub(crate) use client::Client;
pub(crate) use rate::RateLimiter;
