//! Attacks on votes: more than one, forged ones, and votes for what was never proposed.

mod cross_votes;
mod forge_votes;
mod mutate;
mod use_old_keys;
mod vote_as_primary;
mod vote_far;
mod vote_twice;

pub(super) use cross_votes::CrossVotes;
pub(super) use forge_votes::ForgeVotes;
pub(super) use mutate::Mutate;
pub(super) use use_old_keys::UseOldKeys;
pub(super) use vote_as_primary::VoteAsPrimary;
pub(super) use vote_far::VoteFar;
pub(super) use vote_twice::VoteTwice;
