//! Replicas order blocks in one view.

mod checkpoints;
mod clocks;
mod lost_messages;
mod normal_case;
mod quorums;
