//! The direct stream of a connection: opening it, its frames, its queue, and the task that serves
//! it.

pub(crate) mod behaviour;
pub(crate) mod frame;
pub(crate) mod link;
pub(crate) mod queue;
