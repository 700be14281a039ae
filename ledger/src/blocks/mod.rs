//! Blocks: headers and bodies, and what makes a block valid on its own and on its parent.

pub(crate) mod block;
pub(crate) mod body;
pub(crate) mod header;
