//! An observer of a network.

use std::path::{Path, PathBuf};

use crate::clients::rpc::Rpc;
use crate::network::Network;
use crate::program::process::Process;
use crate::wait::{WAIT_LIMIT, until};

/// An observer that runs, or will run again. Killed when dropped.
#[derive(Debug)]
pub struct Observer {
    name: String,
    home: PathBuf,
    log: PathBuf,
    rpc: Rpc,
    process: Option<Process>,
}

impl Observer {
    /// Starts the first observer of a network. It responds when this returns.
    ///
    /// # Panics
    /// If the network has none, or it does not start.
    pub fn of(network: &Network) -> Observer {
        let entry = &network.observers()[0];
        let log = network.directory().join("observer.log");
        let mut observer = Observer::idle(&entry.name, &entry.home, Rpc::new(entry.rpc_address()), log);
        observer.start(&[]);
        observer
    }

    /// An observer with any home. It does not run yet.
    pub fn idle(name: &str, home: &Path, rpc: Rpc, log: PathBuf) -> Observer {
        Observer { name: name.to_owned(), home: home.to_owned(), log, rpc, process: None }
    }

    /// Starts it with further arguments; returns when it responds.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn start(&mut self, arguments: &[&str]) {
        let name = self.name.clone();
        let process = self.process.insert(Process::node(&name, &self.home, arguments, &[], &self.log));
        until(&format!("{name} responds"), WAIT_LIMIT, || {
            assert!(process.ended().is_none(), "{name} ended: {}", process.log());
            (self.rpc.page("/livez") == Some(200)).then_some(())
        });
    }

    /// Its JSON-RPC client.
    pub fn rpc(&self) -> &Rpc {
        &self.rpc
    }

    /// Waits until it has this block.
    pub fn wait_for_height(&self, height: u64) {
        until(&format!("{} has block {height}", self.name), 2 * WAIT_LIMIT, || {
            (self.rpc.head().height >= height).then_some(())
        });
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("it was started").kill();
    }
}
