//! The methods as data: what the trait says, for those who need it at run time.

/// A parameter of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; its place in [`Method::parameters`] is its position.
    pub name: &'static str,
    /// Whether it must be given.
    pub required: bool,
}

/// A method of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Its parameters in order.
    pub parameters: &'static [Parameter],
}

const fn required(name: &'static str) -> Parameter {
    Parameter { name, required: true }
}

const fn optional(name: &'static str) -> Parameter {
    Parameter { name, required: false }
}

const fn method(name: &'static str, parameters: &'static [Parameter]) -> Method {
    Method { name, parameters }
}

/// Every method, in the order of the documentation.
///
/// The server refuses surplus positional and unknown named parameters with its help, since a mistyped name
/// would otherwise be ignored without a word.
pub const METHODS: &[Method] = &[
    method("tx_submit", &[required("transaction"), optional("wait"), optional("timeout_ms")]),
    method("tx_status", &[required("id")]),
    method("tx_get", &[required("id")]),
    method("tx_receipt", &[required("id")]),
    method("chain_head", &[]),
    method("chain_block", &[required("at"), optional("full")]),
    method("chain_blocks", &[required("from"), optional("limit"), optional("full")]),
    method("chain_proof", &[required("height")]),
    method("chain_checkpoint", &[optional("height")]),
    method("network_genesis", &[]),
    method("network_validators", &[optional("height")]),
    method("node_status", &[]),
    method("node_peers", &[]),
    method("node_version", &[]),
    method("consensus_state", &[]),
    method("consensus_evidence", &[]),
    method("mempool_status", &[]),
];

impl Method {
    /// The method with this name.
    pub fn named(name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.name == name)
    }
}
