//! Networks whose validators reach each other only through lines.

use super::Network;
use super::validator::Validator;
use crate::lines::Lines;

impl Network {
    /// Puts lines between the validators, none of which may run yet. There is no other path between
    /// them.
    ///
    /// # Panics
    /// If the system does not provide the sockets and threads.
    #[must_use]
    pub fn behind_lines(mut self) -> Network {
        let lines = Lines::to(self.validators().iter().map(Validator::p2p_address).collect());
        let address = |index| format!("/ip4/127.0.0.1/tcp/{}", lines.address(index).port());
        for index in 0..self.size() {
            let others: Vec<String> = (0..self.size()).filter(|other| *other != index).map(address).collect();
            self.set_variable(index, "QUORATE_P2P__ADVERTISE", format!("[{:?}]", address(index)));
            self.set_variable(index, "QUORATE_P2P__BOOTSTRAP", format!("{others:?}"));
        }
        self.lines = Some(lines);
        self
    }

    /// The lines between the validators.
    ///
    /// # Panics
    /// Unless the network was made with [`Network::behind_lines`].
    pub fn lines(&self) -> &Lines {
        self.lines.as_ref().expect("the network is behind lines")
    }
}
