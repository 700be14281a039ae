//! The parameters of a network, with their ranges and the rules between them.
//!
//! A genesis gives their first values. Governance, of which this crate will hold the state, may
//! change those that [`ParameterName`] lists.

mod parameters;

pub use parameters::{
    BlockParameters, Bound, ClientParameters, ConsensusParameters, GovernanceParameters, MempoolParameters,
    Parameter, ParameterError, ParameterName, Parameters, Rule, Section, Settings, Submit, UnknownParameter,
    parameter_errors, rules,
};
