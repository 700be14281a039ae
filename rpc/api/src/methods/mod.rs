//! The methods as data: their names, parameters, results and errors.

pub(crate) mod catalogue;
pub(crate) mod discovery;
pub(crate) mod parameter;
