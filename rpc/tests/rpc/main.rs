//! The HTTP interface over a fake node that changes only when a test changes it.

#![allow(clippy::unwrap_used, missing_docs)]

mod description;
mod explorer;
mod limits;
mod methods;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod transport;
