//! The genesis: what all nodes of a network must agree on before its first block.
//!
//! A genesis names the validators with their keys, the limits of blocks and pools, the timeouts of
//! the protocol, and the parameters of governance. It holds all settings that must be equal on all
//! nodes; addresses, paths and ports are local settings. Its hash is the chain id. So two nodes
//! with different parameters are on two different chains, and never disagree on one.
//!
//! A [`GenesisDraft`] holds unchecked content. [`GenesisDraft::check`] and [`Genesis::parse`] turn
//! it into a [`Genesis`], or return all its errors at once. This crate must not depend on the
//! running node: it reads no files and no clocks.
//!
//! A network may continue a chain whose validators lost their quorum: [`Continuation`] makes its
//! genesis, which names its [`Predecessor`].
//!
//! ```
//! use quorate_genesis::{Genesis, TestNetwork};
//!
//! let network = TestNetwork::seeded(4, 1);
//! let genesis = network.genesis();
//! assert_eq!(genesis.committee().quorum(), 3);
//! assert_eq!(Genesis::parse(&genesis.to_toml())?.chain_id(), genesis.chain_id());
//! # Ok::<(), quorate_genesis::GenesisErrors>(())
//! ```

mod check;
mod clients;
mod continuation;
mod draft;
mod error;
mod file;
mod genesis;
mod predecessor;
mod render;
mod test_network;

pub use clients::{ClientsError, clients_to_text, max_clients_file_bytes, parse_clients};
pub use continuation::{Continuation, ContinuationError, Continued};
pub use draft::{GenesisDraft, Validator};
pub use error::{GenesisError, GenesisErrors, Warning};
pub use genesis::Genesis;
pub use predecessor::Predecessor;
pub use quorate_governance::{
    BlockParameters, Bound, ClientParameters, ConsensusParameters, GovernanceParameters, MempoolParameters,
    ParameterError, Parameters, Settings, Submit,
};
pub use test_network::TestNetwork;

/// Version of the file format and of the content that the chain id is computed from.
pub const FORMAT_VERSION: u16 = 2;

/// Maximum bytes of a genesis file. The largest possible one, with all comments, needs a quarter of
/// it.
pub const MAX_FILE_BYTES: usize = 64 << 10;

/// Most characters of a network's name.
pub const MAX_NETWORK_NAME: usize = 64;

/// Most characters of a validator's name.
pub const MAX_VALIDATOR_NAME: usize = 32;

/// Latest possible time of a genesis, the year 2200. A later time was probably given in another
/// unit, and clocks would not reach the time of its first block.
pub const MAX_GENESIS_TIME_MS: u64 = 7_258_118_400_000;
