//! Follows changes of the lists of members and observers.

use std::sync::Arc;
use std::time::Instant;

use super::Driver;
use crate::peer::Peer;

impl Driver {
    /// The handle has made new lists. Ends what belongs to removed peers, and begins to dial added
    /// members. A peer whose role changed is removed and added; so is one that was removed and
    /// added again before the driver noticed.
    pub(super) fn on_peers_changed(&mut self) {
        let present = self.listed.borrow_and_update().clone();
        let previous = std::mem::replace(&mut self.peers, present);
        // New connections follow the new lists from here on, so only the present ones are closed.
        self.swarm.behaviour_mut().set_peers(&self.peers);
        let removed: Vec<Arc<Peer>> = previous.not_in(&self.peers).cloned().collect();
        for peer in removed {
            self.on_removed(&peer);
        }
        let now = Instant::now();
        let added: Vec<Arc<Peer>> = self.peers.not_in(&previous).cloned().collect();
        for peer in added.iter().filter(|peer| peer.is_member()) {
            // A connection in the earlier role is still being closed. When it is closed, the node
            // dials.
            let closing = self.swarm.is_connected(&peer.id);
            self.dialing.add(peer.key, self.peers.dials_first(&peer.key), closing, now);
        }
        tracing::info!(
            members = self.peers.members().count(),
            observers = self.peers.len() - self.peers.members().count(),
            this_node_is_a_member = self.peers.own_is_member(),
            "the peers that may connect have changed"
        );
        self.publish_known();
        self.publish_failures();
        self.look_up_soon();
    }

    /// This peer is not in the lists any more, or has another role there.
    fn on_removed(&mut self, peer: &Peer) {
        // The peer's tokens are cancelled, so its links end by themselves.
        tracing::debug!(peer = %peer.key, "peer removed");
        // An error means that the peer is not connected.
        let _ = self.swarm.disconnect_peer_id(peer.id);
        self.dialing.remove(&peer.key);
        if self.peers.is_member(&peer.key) {
            return;
        }
        // Members report the addresses of members only.
        self.swarm.behaviour_mut().discovery.forget(&peer.id);
        for address in self.bootstrap.forget(&peer.key, Instant::now()) {
            self.book.unconfigure(peer.key, &address);
        }
        self.book.forget(&peer.key);
        self.failures.forget(&peer.key);
    }
}
