//! Tests of whole networks in one process, over real TCP on the loopback interface.

#![allow(clippy::unwrap_used)]

mod hostile;
mod lifecycle;
mod mesh;
mod observers;
mod peers;
mod pressure;
mod refusal;
mod requests;
mod restart;
mod support;
mod unreachable;
