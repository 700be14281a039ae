//! JSON-RPC 2.0: from the bytes of a message to the bytes of its response.
//!
//! [`Endpoint`] reads a message under all limits, [`request`] finds the requests in it, and a
//! [`Dispatcher`] runs each of them by its [`Service`].

mod answer;
mod dispatch;
mod endpoint;
mod error;
mod parameters;
mod places;
mod request;
mod request_refusal;

pub(crate) use answer::{Answer, Part, failure};
pub(crate) use dispatch::{Dispatcher, Reply, Service};
pub(crate) use endpoint::{Endpoint, handle_post};
pub(crate) use error::{internal, overloaded};
pub(crate) use parameters::Arguments;
pub(crate) use request::Call;
pub(crate) use request_refusal::RequestRefusal;
