//! Connections and HTTP: accepts connections, and checks the heads of requests before any handler.

mod acceptor;
mod head;
mod hosts;
mod origins;
mod place;
mod stall;

pub(crate) use acceptor::{Accepting, Listener, accept};
pub(crate) use hosts::{Hosts, check_host};
pub(crate) use origins::{LAST_EVENT_ID, Origins};
pub(crate) use place::ConnectionPlace;
pub(crate) use stall::HangUp;
