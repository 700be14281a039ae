//! The begin of the next epoch: what crosses from the replica of the epoch before (R26e).

use quorate_ledger::Epoch;
use quorate_ledger::mutant::{Mutant, is};

use crate::config::Config;
use crate::epoch::schedule::Schedule;
use crate::journal::restore::ChainEnd;
use crate::replica::{FirstStep, Replica};
use crate::signing::signer::Signer;

/// What crosses the boundary of an epoch: whether the replica of the same process might sign at the
/// end of its epoch. No view, timer, vote, certificate, checkpoint or evidence crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Continuation {
    enabled: bool,
}

impl Continuation {
    /// For a node that opens its files, and for one that was no member of the epoch before. It
    /// probes in the new epoch.
    pub fn unknown() -> Self {
        Continuation { enabled: false }
    }
}

impl Replica {
    /// What the replica of the next epoch takes over from this one.
    ///
    /// # Panics
    /// If the epoch is not over here.
    pub fn continuation(&self) -> Continuation {
        assert!(self.epoch_is_over(), "R26: only the end of an epoch can be continued");
        Continuation { enabled: self.signing.is_enabled() || is(Mutant::NextEpochUnprobed) }
    }

    /// The replica of an epoch that follows another one, without journal records of this epoch. Its
    /// first step begins with the record [`crate::Record::EpochStart`].
    ///
    /// The chain ends in the last block of the epoch before. It may end above if the node opens its
    /// files: an observer that became a member, or a crash before the start of the epoch was
    /// written.
    ///
    /// Signing is enabled at once only if it was enabled in the same process at the end of the
    /// epoch before. Otherwise the replica probes (R24a, R26e).
    ///
    /// # Panics
    /// If the chain does not end in this epoch or in its root, and like [`Replica::restore`].
    pub fn begin(
        config: Config,
        signer: Signer,
        end: ChainEnd,
        previous: Continuation,
        schedule: Schedule,
    ) -> Self {
        assert!(config.context.epoch() > Epoch(0), "R26: epoch 0 begins with the chain");
        let mut replica = Replica::on(end.chain(&config), config, signer, schedule);
        let ChainEnd { checkpoint, forgotten_through, .. } = end;
        if let Some((header, state_root)) = &checkpoint {
            replica.resume_checkpoint(header, *state_root);
        }
        if !previous.enabled {
            replica.signing.start_probing(forgotten_through);
            replica.try_enable_signing();
        }
        replica.first_step = FirstStep::Begins;
        replica
    }
}
