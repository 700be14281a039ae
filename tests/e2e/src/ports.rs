//! Ports that no other network of these tests on this machine uses.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Blocks are below the ports that systems use for outgoing connections, so that the port of a
/// killed node is still free when it restarts.
const FIRST: u32 = 12_000;
const BLOCK: u32 = 40;
const BLOCKS: u32 = 400;

/// Upper limit of validators in a network: half of a block without its guard.
const MAX_VALIDATORS: u16 = 19;

/// Consecutive ports on 127.0.0.1. They were free when they were reserved, and no other block, also
/// of other processes, uses them until this one is dropped.
#[derive(Debug)]
pub struct PortBlock {
    first: u16,
    /// Bound, but not used: a process that cannot bind the first port of a block chooses another
    /// block.
    _guard: TcpListener,
}

impl PortBlock {
    /// Reserves a block for `validators` validators.
    ///
    /// # Panics
    /// If there are too many validators, or no block is free.
    pub fn take(validators: u16) -> PortBlock {
        PortBlock::take_listening(validators).0
    }

    /// As [`PortBlock::take`], with listeners on the peer-to-peer ports of the validators, for
    /// listeners in this process. A port that was released can stay in use for a moment: a child
    /// that another thread starts at that time has a copy of every socket until it executes its own
    /// program.
    ///
    /// # Panics
    /// As [`PortBlock::take`].
    pub(crate) fn take_listening(validators: u16) -> (PortBlock, Vec<TcpListener>) {
        assert!(validators <= MAX_VALIDATORS, "a block has ports for {MAX_VALIDATORS} validators");
        // Processes start at different blocks, so that they rarely collide.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let start = std::process::id().wrapping_mul(7) % BLOCKS;
        let attempts = (0..BLOCKS).map(|_| NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(start) % BLOCKS);
        let mut free = attempts.filter_map(|block| PortBlock::try_take(FIRST + block * BLOCK));
        let (block, mut listeners) = free.next().expect("a block of ports is free");
        listeners.truncate(usize::from(validators));
        (block, listeners)
    }

    /// With listeners on all ports of the block, in their order.
    fn try_take(first: u32) -> Option<(PortBlock, Vec<TcpListener>)> {
        let first = u16::try_from(first).expect("the last block ends below 2^16");
        let guard = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).ok()?;
        let block = PortBlock { first, _guard: guard };
        // Bind all at the same time: a port must not look free because the previous one was just
        // released.
        let used = block.p2p()..block.rpc() + MAX_VALIDATORS;
        let bound: Result<Vec<_>, _> =
            used.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port))).collect();
        Some((block, bound.ok()?))
    }

    /// Peer-to-peer port of the first validator; those of the others follow.
    pub fn p2p(&self) -> u16 {
        self.first + 1
    }

    /// JSON-RPC port of the first validator; those of the others follow.
    pub fn rpc(&self) -> u16 {
        self.first + 1 + MAX_VALIDATORS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap() {
        let (one, other) = (PortBlock::take(4), PortBlock::take(4));
        assert!(one.p2p().abs_diff(other.p2p()) >= u16::try_from(BLOCK).expect("small"));
        assert!(PortBlock::try_take(u32::from(one.first)).is_none(), "a block is taken once");
        let last = one.rpc() + MAX_VALIDATORS - 1;
        assert!(u32::from(last - one.first) < BLOCK);
        const { assert!(FIRST + BLOCKS * BLOCK < 32_768, "below the ports of outgoing connections") };
    }

    #[test]
    fn listeners_keep_the_ports_that_were_found_free() {
        let (block, listeners) = PortBlock::take_listening(4);
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect();
        assert_eq!(ports, (block.p2p()..).take(4).collect::<Vec<_>>());
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, block.p2p())).is_err(), "it was never released");
    }
}
