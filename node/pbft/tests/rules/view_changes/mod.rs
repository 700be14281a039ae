//! Replicas leave a view and begin the next one.

mod beginning_views;
mod leaving_views;
mod past_blocks;
mod view_timer;
