//! Limits, rates and hostile requests.

pub(crate) mod bounds;
pub(crate) mod hostile;
pub(crate) mod rates;
pub(crate) mod socket_limits;
