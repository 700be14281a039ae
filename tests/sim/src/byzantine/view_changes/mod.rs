//! Attacks on view changes: incomplete, forged, repeated or late VIEW-CHANGEs and NEW-VIEWs.

mod forge_change;
mod forge_view;
mod help;
mod hide;
mod hoard;
mod misopen;
mod reopen;
mod spam;

pub(super) use forge_change::ForgeChange;
pub(super) use forge_view::ForgeView;
pub(super) use help::HelpOne;
pub(super) use hide::Hide;
pub(super) use hoard::Hoard;
pub(super) use misopen::Misopen;
pub(super) use reopen::Reopen;
pub(super) use spam::Spam;
