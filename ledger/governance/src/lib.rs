//! The replicated governance state and its transition function: members, keys, clients and
//! parameters of a network that change while it runs.
//!
//! Governance transactions carry an [`Operation`]. [`State::apply`] executes those of a final block
//! and returns an [`Outcome`] for each. A change that block c decides takes effect at height
//! c + W + 1, so [`State::config`] knows the [`Config`] of every block that a primary may propose.
//!
//! Everything in this crate is pure and deterministic. It must not use files, sockets, clocks, JSON
//! or consensus. No input makes it panic. [`limits`] lists its bounds; `ledger/WIRE.md` specifies
//! the bytes of operations.
//!
//! ```
//! use quorate_governance::{InitialState, Member, Settings, State};
//! use quorate_ledger::{BlockHash, ChainId, Height, SecretKey};
//!
//! let member = |number: u8| {
//!     let key = SecretKey::from_bytes(&[number; 32]).expect("a small number is a key").public();
//!     let name = format!("bank-{number}").parse().expect("a name");
//!     Member { name, consensus_key: key, governance_key: key }
//! };
//! let state = State::initial(InitialState {
//!     chain: ChainId::from_bytes([1; 32]),
//!     block: BlockHash::from_bytes([2; 32]),
//!     members: (1..=4).map(member).collect(),
//!     settings: Settings::default(),
//!     clients: Vec::new(),
//! })?;
//! // With W = 8, no later block can change the configuration of heights 1 to 9.
//! assert_eq!(state.horizon(), Height(9));
//! assert_eq!(state.config(Height(9)).expect("known").committee().quorum(), 3);
//! assert!(state.config(Height(10)).is_none());
//! # Ok::<(), quorate_governance::InitialStateError>(())
//! ```

mod config;
mod operations;
mod outcome;
mod parameters;
mod state;
mod tree;

pub mod limits;

pub use config::{
    Affected, BlockUse, Client, Config, Effect, Kind, Member, Permit, QuorumArithmetic, clients_root,
};
pub use operations::{Change, Name, NameError, Operation, Possession, ProposalId, Quota};
pub use outcome::{Outcome, Reason};
pub use parameters::{
    BlockParameters, Bound, ClientParameters, ConsensusParameters, GovernanceParameters, MAX_CLIENTS,
    MempoolParameters, Parameter, ParameterError, ParameterName, Parameters, Rule, Section, Settings, Submit,
    UnknownParameter, rules,
};
pub use state::{
    Ancestors, ApplyError, EntryKey, ExecutedBlock, GovernanceTransaction, Head, InitialState,
    InitialStateError, Obstacle, Preview, PreviewWarning, Proposal, Scheduled, State,
};
pub use tree::{EntryProof, ProofError};
