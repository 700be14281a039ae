//! A chain in one portable file, for backups and for transfer to other hosts.
//!
//! ```text
//! head      8 bytes "quo-expo", version: u16 big-endian, chain id: 32 bytes
//! records   length: u32 big-endian, then as many bytes: a range in borsh
//! range     u32 count, for each block its header and its body (u32 length and the body's encoding), a certificate
//! ```
//!
//! A range (certified block range) contains the blocks that one certificate finalises. So a file
//! that ends between two records ends in a final block. It begins with block 1, because every reader has
//! the genesis. Written bytes never change. If the process dies or the power fails, the file may
//! end within a record; the writer cuts off that incomplete end when it continues the export.

pub(crate) mod range;
pub(crate) mod reader;
mod record;
pub(crate) mod verifier;
pub(crate) mod writer;

#[cfg(test)]
mod export_tests;
