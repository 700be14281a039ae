//! Attacks on proposals: several blocks at one height, invalid blocks, blocks that come late.

pub(super) mod block_versions;
mod dawdle;
mod equivocate;
mod hide_branch;
mod misfill;
mod propose_again;
mod propose_twice;
mod push_time;

pub(super) use dawdle::Dawdle;
pub(super) use equivocate::Equivocate;
pub(super) use hide_branch::HideBranch;
pub(super) use misfill::Misfill;
pub(super) use propose_again::ProposeAgain;
pub(super) use propose_twice::ProposeTwice;
pub(super) use push_time::PushTime;
