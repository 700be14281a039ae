//! Ports that no other network on this machine has.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Blocks lie below the ports that systems hand out for outgoing connections, so that the port of a node
/// that was killed is still free when it comes back.
const FIRST: u32 = 12_000;
const BLOCK: u32 = 40;
const BLOCKS: u32 = 400;

/// Most validators of a network: half of a block without its guard.
const MAX_VALIDATORS: u16 = 19;

/// Neighbouring ports on 127.0.0.1, free when they were taken and left alone by all other blocks, also by
/// those of other processes, until this one is dropped.
#[derive(Debug)]
pub struct PortBlock {
    first: u16,
    /// Held, not used: whoever cannot bind the first port of a block takes another block.
    _guard: TcpListener,
}

impl PortBlock {
    /// Takes a block for `validators` validators.
    ///
    /// # Panics
    /// If there are too many validators, or no block is free.
    pub fn take(validators: u16) -> PortBlock {
        PortBlock::take_listening(validators).0
    }

    /// As [`PortBlock::take`], with listeners on the peer-to-peer ports of the validators. For whoever listens in this
    /// process: a port that was given back can stay in use for a moment, for a child that another thread starts just
    /// then has a copy of every socket until it runs its own program.
    ///
    /// # Panics
    /// As [`PortBlock::take`].
    pub(crate) fn take_listening(validators: u16) -> (PortBlock, Vec<TcpListener>) {
        assert!(validators <= MAX_VALIDATORS, "a block has ports for {MAX_VALIDATORS} validators");
        // Processes start at different places, so that they seldom meet.
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
        // All at the same time: a port must not look free because the one before it was just given back.
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
    fn listeners_are_those_that_found_their_ports_free() {
        let (block, listeners) = PortBlock::take_listening(4);
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect();
        assert_eq!(ports, (block.p2p()..).take(4).collect::<Vec<_>>());
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, block.p2p())).is_err(), "never given back");
    }
}
