//! Members that crash, become Byzantine, and start again.

use quorate_pbft::Input;

use super::{Files, Net, id};

impl Net {
    /// The member becomes Byzantine: its correct process ends, and the test sends messages in its
    /// name.
    pub(crate) fn corrupt(&mut self, node: usize) {
        self.nodes[node].crash();
        self.links.cut_off(id(node));
    }

    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].crash();
        self.links.cut_off(id(node));
    }

    /// Replaces the files of a stopped node by an old copy.
    pub(crate) fn put_back(&mut self, node: usize, files: Files) {
        self.nodes[node].put_back(files);
        self.oracle.forget_records(id(node));
    }

    /// Replaces only the ledger of a stopped node.
    pub(crate) fn put_back_ledger(&mut self, node: usize, files: Files) {
        self.nodes[node].put_back_ledger(files);
        self.oracle.forget_records(id(node));
    }

    /// Starts a node again.
    pub(crate) fn restart(&mut self, node: usize) {
        let now = self.now(node);
        self.nodes[node].restart(now);
        self.started(node);
    }

    /// The process of a node runs. It and every other running node notice the new connection.
    pub(super) fn started(&mut self, node: usize) {
        // A new process has no memory of messages that came before (R25c).
        self.screens.retain(|(to, _), _| to.index() != node);
        if self.nodes[node].runs() {
            self.positions[node] = Some(self.nodes[node].replica().position());
        }
        self.flush(node, self.nodes[node].finalised.len());
        for other in (0..self.size()).filter(|other| *other != node) {
            if self.nodes[other].runs() {
                self.input(other, Input::PeerUp(id(node)));
                self.input(node, Input::PeerUp(id(other)));
            }
        }
    }
}
