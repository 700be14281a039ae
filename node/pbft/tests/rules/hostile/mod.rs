//! Faulty members and their messages, and how replicas prove the faults.

mod crossed_votes;
mod evidence;
mod extremes;
mod faulty_proposals;
mod faulty_votes;
mod forged_new_views;
mod forged_view_changes;
mod hidden_certificates;
mod hidden_commits;
mod hidden_equivocation;
mod hostile_input;
mod lost_branches;
mod screening;
