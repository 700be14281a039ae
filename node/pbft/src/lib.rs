//! PBFT without input and output: the caller passes events in, and each event yields a [`Step`].
//!
//! A [`Replica`] receives an event ([`Input`]) and the time ([`Now`]). The step contains journal
//! records that must become durable, messages that may leave after that, and requests to the engine
//! around the replica. A replica reads no clock, opens no file or socket, starts no thread and
//! draws no random numbers. Any run can therefore be repeated from its inputs. `PROTOCOL.md`
//! numbers the rules that it follows; code and tests cite these numbers.
//!
//! Three types enforce the order that safety depends on:
//! * Only checked messages go in: [`Message::check`] is the only source of [`Checked`].
//! * Messages come out of [`Steps::persist`] alone, after their records were written.
//! * A [`PreparedCertificate`] or commit certificate is made from a quorum of verified votes alone.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! # use quorate_ledger::*;
//! # use quorate_pbft::*;
//! # let key = SecretKey::from_bytes(&[1; 32]).unwrap();
//! # let chain = ChainId::from_bytes([7; 32]);
//! # let committee = Committee::new(Epoch(0), vec![key.public()]).unwrap();
//! # let transaction = TransactionLimits { max_bytes: 1000, max_lifetime_ms: 120_000 };
//! # let limits = BlockLimits {
//! #     max_transactions: 9, max_body_bytes: 9000, transaction, empty_block_gap_ms: 0,
//! # };
//! # let root = Header::genesis(chain, committee.hash(), Timestamp(0));
//! # let seconds = Duration::from_secs;
//! # let config = Config {
//! #     context: EpochContext { chain, committee, root: EpochRoot::of(&root), window: 8, memo: None },
//! #     limits, clock_tolerance: seconds(1), request_timeout: seconds(2),
//! #     new_view_timeout: seconds(2), timeout_cap: seconds(30), status_interval: seconds(1),
//! #     checkpoint_interval: 128, log_window: 512,
//! # };
//! // A committee of one, on a chain that has only its genesis.
//! let signer = Signer::new(&config.context, key, ReplicaId(0));
//! let mut replica = Replica::new(config, signer, root, Schedule::FIXED);
//! let now = Now { moment: Moment::default(), wall: Timestamp(1000) };
//!
//! let parent = replica.proposal_parent().expect("the only member is the primary");
//! let block = Block::after(parent, Body::of(&[]), now.wall, ReplicaId(0))?;
//! let mut step = replica.step(now, Input::Proposed(block.skeleton().clone()));
//! let requests = step.take_requests();
//! assert!(matches!(&requests[..], [Request::Finalise(last)] if last.blocks == [block.hash()]));
//!
//! let mut steps = Steps::default();
//! steps.absorb(step);
//! let mut journal = Vec::new();
//! let write = |records: &[Record]| Ok::<_, Infallible>(journal.extend_from_slice(records));
//! let messages = steps.persist(write)?;
//! assert_eq!(journal.len(), 4, "accepted, prepared, finalised, and the high-water mark");
//! assert!(matches!(messages[0], (To::All, Message::PrePrepare(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod checkpoint;
mod config;
mod epoch;
mod evidence;
mod input;
mod inspect;
mod journal;
mod messages;
mod repair;
mod replica;
mod screen;
mod signing;
mod step;
mod time;
mod timer;
mod view_change;
mod votes;

pub use checkpoint::certificate::{Checkpoint, CheckpointCertificate};
pub use config::{Config, EpochContext, EpochRoot, MAX_WINDOW};
pub use epoch::begin::Continuation;
pub use epoch::schedule::{EpochEnd, Schedule};
pub use evidence::proof::{Crossed, Evidence, HiddenCertificate, Pair};
pub use input::{Input, Verdict};
pub use inspect::{Overview, Phase, SigningStatus, SlotOverview};
pub use journal::record::{Record, Unreadable};
pub use journal::restore::{ChainEnd, RestoreError, Restored};
pub use messages::proposal::{CheckedProposal, PrePrepare, Prepare, Proposal};
pub use messages::rejected::Rejected;
pub use messages::statement::{Statement, Subject};
pub use messages::status::{CheckedStatus, MAX_STATUS_SLOTS, SlotStatus, Status};
pub use messages::{Checked, CheckedContent, Message};
pub use replica::{Counters, Replica};
pub use screen::admit::{Dropped, Screen};
pub use screen::position::Position;
pub use signing::seen::{HighWaterMark, Seen};
pub use signing::signer::Signer;
pub use step::{Cause, Departure, Finalised, Request, Step, Steps, To};
pub use time::{Moment, Now};
pub use timer::{SILENT_INTERVALS, Work};
pub use view_change::messages::{CheckedNewView, CheckedViewChange, NewViewMessage, ViewChangeMessage};
pub use view_change::selection::Selection;
pub use view_change::statements::{NewView, ViewChange, ViewChangePayload};
pub use votes::prepared::{PreparedCertificate, PreparedError};
