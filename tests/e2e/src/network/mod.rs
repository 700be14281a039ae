//! A network of processes.

mod behind_lines;
pub(crate) mod copies;
mod faults;
pub(crate) mod home;
pub(crate) mod observer;
mod ordering;
pub(crate) mod validator;
mod views;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use quorate_genesis::{Genesis, Parameters};
use quorate_ledger::PublicKey;
use tempfile::TempDir;

use self::validator::{NetworkFile, Validator};
use crate::clients::rpc::Rpc;
use crate::lines::Lines;
use crate::ports::PortBlock;
use crate::program::binary::quorate;
use crate::program::command::Invocation;
use crate::program::process::{Memory, Outputs, Process, tail};
use crate::wait::{WAIT_LIMIT, until, wait_until};

/// The files of a network and its running validators. They are killed when it is dropped.
#[derive(Debug)]
pub struct Network {
    // Fields are dropped in this order: first the processes, then their files and ports.
    processes: Vec<Option<Process>>,
    validators: Vec<Validator>,
    observers: Vec<Validator>,
    genesis: Genesis,
    genesis_file: PathBuf,
    directory: PathBuf,
    /// Whether a validator has no data yet, so that its first start must create it.
    without_data: Vec<bool>,
    /// The program that each validator runs.
    programs: Vec<PathBuf>,
    /// Environment variables of each validator in all its runs.
    variables: Vec<Vec<(&'static str, String)>>,
    lines: Option<Lines>,
    logs: TempDir,
    _files: Option<TempDir>,
    _ports: Option<PortBlock>,
}

impl Network {
    /// Creates the files of a network with `quorate testnet`. No validator runs yet.
    pub fn testnet(validators: u16) -> Network {
        Network::testnet_observed(validators, 0)
    }

    /// As [`Network::testnet`], with observers. [`crate::Observer`] runs them.
    pub fn testnet_observed(validators: u16, observers: u16) -> Network {
        let files = TempDir::new().expect("a temporary directory can be made");
        let ports = PortBlock::take(validators + observers);
        let directory = files.path().join("net");
        Invocation::new(["testnet", "--validators", &validators.to_string()])
            .arg(format!("--observers={observers}"))
            .arg("--output")
            .arg(&directory)
            .arg(format!("--base-p2p-port={}", ports.p2p()))
            .arg(format!("--base-rpc-port={}", ports.rpc()))
            .run()
            .expect_code(0);
        let mut network = Network::open(&directory);
        network._files = Some(files);
        network._ports = Some(ports);
        network
    }

    /// As [`Network::testnet`], with other parameters in the genesis. No validator runs yet.
    ///
    /// # Panics
    /// If the parameters are invalid.
    pub fn testnet_with(validators: u16, change: impl FnOnce(&mut Parameters)) -> Network {
        let mut network = Network::testnet(validators);
        let mut draft = network.genesis.to_draft();
        change(&mut draft.settings.parameters);
        network.genesis = draft.check().expect("a network can run with these parameters");
        let text = network.genesis.to_toml();
        std::fs::write(&network.genesis_file, &text).expect("the genesis can be written");
        for validator in &network.validators {
            // The existing data belongs to the chain of the previous genesis.
            std::fs::remove_dir_all(validator.home.join("data")).expect("there is data");
            std::fs::write(validator.home.join("genesis.toml"), &text).expect("the genesis can be written");
        }
        network.without_data.fill(true);
        network
    }

    /// A network whose validators all run and are ready.
    pub fn running(validators: u16) -> Network {
        let mut network = Network::testnet(validators);
        network.start_all();
        network
    }

    /// The network whose files are in a directory. The files are kept.
    ///
    /// # Panics
    /// If there are none, or they are inconsistent.
    pub fn open(directory: &Path) -> Network {
        let path = directory.join("network.json");
        let text = std::fs::read_to_string(&path).expect("there is a network.json");
        let file: NetworkFile = serde_json::from_str(&text).expect("network.json is as documented");
        let genesis_file = directory.join(file.genesis);
        let text = std::fs::read_to_string(&genesis_file).expect("the genesis is where network.json says");
        let genesis = Genesis::parse(&text).expect("the genesis is valid");
        let (mut validators, mut observers) = (file.validators, file.observers);
        for node in validators.iter_mut().chain(&mut observers) {
            node.home = directory.join(&node.home);
        }
        let listed = validators.iter().map(|validator| validator.public_key.parse().ok());
        let known = genesis.committee().members().iter().copied().map(Some);
        assert!(listed.eq(known), "network.json lists the committee in its order");
        let size = validators.len();
        Network {
            processes: validators.iter().map(|_| None).collect(),
            validators,
            observers,
            genesis,
            genesis_file,
            directory: directory.to_owned(),
            without_data: vec![false; size],
            programs: vec![quorate().to_owned(); size],
            variables: vec![Vec::new(); size],
            lines: None,
            logs: TempDir::new().expect("a temporary directory can be made"),
            _files: None,
            _ports: None,
        }
    }

    /// Sets an environment variable of a validator from its next start on.
    fn set_variable(&mut self, index: usize, name: &'static str, value: String) {
        self.variables[index].push((name, value));
    }

    /// The genesis of the network.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The genesis file.
    pub fn genesis_file(&self) -> &Path {
        &self.genesis_file
    }

    /// The directory with `network.json`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The validators in committee order.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// The homes of its observers.
    pub fn observers(&self) -> &[Validator] {
        &self.observers
    }

    /// Number of validators.
    pub fn size(&self) -> usize {
        self.validators.len()
    }

    /// The key of a validator.
    ///
    /// # Panics
    /// If there is no such validator.
    pub fn public_key(&self, index: usize) -> PublicKey {
        self.genesis.committee().members()[index]
    }

    /// JSON-RPC client of a validator.
    pub fn rpc(&self, index: usize) -> Rpc {
        Rpc::new(self.validators[index].rpc_address())
    }

    /// The JSON-RPC addresses of these validators.
    pub fn rpc_addresses(&self, indices: impl IntoIterator<Item = usize>) -> Vec<SocketAddr> {
        indices.into_iter().map(|index| self.validators[index].rpc_address()).collect()
    }

    /// Index of the primary in the view of the given validator.
    ///
    /// # Panics
    /// If this validator does not respond.
    pub fn primary(&self, index: usize) -> usize {
        usize::from(self.rpc(index).consensus().primary)
    }

    /// Index of the primary of a view.
    ///
    /// # Panics
    /// Never: there are members.
    pub fn primary_of(&self, view: u64) -> usize {
        let members = self.size() as u64;
        let view = self.genesis.header().epoch.0 + view;
        usize::try_from(view % members).expect("fewer than there are members")
    }

    /// Starts a validator; returns when it responds.
    pub fn start(&mut self, index: usize) {
        self.start_with(index, &[], &[]);
    }

    /// Starts a validator with further arguments and variables; returns when it responds.
    pub fn start_with(&mut self, index: usize, arguments: &[&str], variables: &[(&str, &str)]) {
        self.spawn(index, arguments, variables);
        self.wait_for_answer(index);
    }

    /// Starts a validator that writes to these outputs instead of its log; returns when it
    /// responds.
    ///
    /// # Panics
    /// If it runs already, or does not respond.
    pub fn start_into(&mut self, index: usize, arguments: &[&str], outputs: Outputs) {
        assert!(self.processes[index].is_none(), "{} runs already", self.validators[index].name);
        let Validator { name, home, .. } = &self.validators[index];
        let process = Process::node_into(name, home, arguments, &[], outputs, &self.log_file(index));
        self.processes[index] = Some(process);
        self.wait_for_answer(index);
    }

    /// Starts a validator and does not wait for a response.
    pub fn start_without_waiting(&mut self, index: usize) {
        self.spawn(index, &[], &[]);
    }

    /// Starts all validators that do not run; returns when all are ready and each is connected to
    /// all others. (A validator alone needs only a quorum to be ready.)
    pub fn start_all(&mut self) {
        let idle: Vec<usize> = (0..self.size()).filter(|index| self.processes[*index].is_none()).collect();
        for index in &idle {
            self.spawn(*index, &[], &[]);
        }
        for index in &idle {
            self.wait_for_answer(*index);
        }
        for index in 0..self.size() {
            self.wait_until_ready(index);
            self.wait_until_connected(index, self.size() - 1);
        }
    }

    /// Sets the program of a validator from its next start on; `None` is the program under test.
    pub fn set_program(&mut self, index: usize, program: Option<PathBuf>) {
        self.programs[index] = program.unwrap_or_else(|| quorate().to_owned());
    }

    fn spawn(&mut self, index: usize, arguments: &[&str], variables: &[(&str, &str)]) {
        assert!(self.processes[index].is_none(), "{} runs already", self.validators[index].name);
        let (validator, log) = (&self.validators[index], self.log_file(index));
        let init: &[&str] = if std::mem::take(&mut self.without_data[index]) { &["--init"] } else { &[] };
        let arguments = [init, arguments].concat();
        let lasting = self.variables[index].iter().map(|(name, value)| (*name, value.as_str()));
        let variables: Vec<(&str, &str)> = lasting.chain(variables.iter().copied()).collect();
        let (program, home) = (&self.programs[index], &validator.home);
        let process = Process::node_of(program, &validator.name, home, &arguments, &variables, &log);
        if let Some(lines) = &self.lines {
            lines.is_run_by(index, process.id());
        }
        self.processes[index] = Some(process);
    }

    fn wait_for_answer(&mut self, index: usize) {
        let rpc = self.rpc(index);
        let name = self.validators[index].name.clone();
        let process = self.process_mut(index);
        until(&format!("{name} responds"), WAIT_LIMIT, || {
            if let Some(status) = process.ended() {
                panic!("{name} ended while it started: {status}");
            }
            (rpc.page("/livez") == Some(200)).then_some(())
        });
    }

    /// Waits until a validator reports that it is ready.
    pub fn wait_until_ready(&self, index: usize) {
        let rpc = self.rpc(index);
        let name = &self.validators[index].name;
        wait_until(&format!("{name} is ready"), || rpc.page("/readyz") == Some(200));
    }

    /// Waits until a validator is connected to exactly this many others.
    pub fn wait_until_connected(&self, index: usize, others: usize) {
        let rpc = self.rpc(index);
        let what = format!("{} is connected to {others} others", self.validators[index].name);
        wait_until(&what, || {
            usize::try_from(rpc.status().peers_connected).is_ok_and(|peers| peers == others)
        });
    }

    /// Kills a validator with SIGKILL.
    pub fn kill(&mut self, index: usize) {
        self.take_process(index).kill();
    }

    /// Kills all validators before one of them can notice the death of another.
    pub fn kill_all(&mut self) {
        let processes: Vec<Process> = self.processes.iter_mut().filter_map(Option::take).collect();
        for process in &processes {
            process.kill_without_waiting();
        }
        processes.into_iter().for_each(Process::kill);
    }

    /// Stops a validator with SIGTERM. Asserts exit code 0; returns how long it took.
    pub fn stop(&mut self, index: usize) -> Duration {
        let (took, status) = self.take_process(index).terminate();
        assert_eq!(status.code(), Some(0), "{} stops cleanly", self.validators[index].name);
        took
    }

    /// Moves a validator's process out, for actions that only one test needs.
    ///
    /// # Panics
    /// If it does not run.
    pub fn take(&mut self, index: usize) -> Process {
        self.take_process(index)
    }

    /// Freezes a validator with SIGSTOP.
    pub fn pause(&self, index: usize) {
        self.process(index).pause();
    }

    /// Continues a frozen validator with SIGCONT.
    pub fn resume(&self, index: usize) {
        self.process(index).resume();
    }

    /// Whether a validator has not ended by itself. Panics if it was not started.
    pub fn is_running(&mut self, index: usize) -> bool {
        self.process_mut(index).ended().is_none()
    }

    /// The exit status of a validator that has ended by itself. It can be started again.
    ///
    /// # Panics
    /// If it runs.
    pub fn status_of_ended(&mut self, index: usize) -> ExitStatus {
        let mut process = self.take_process(index);
        process.ended().expect("it has ended")
    }

    /// The memory of a running validator.
    pub fn memory(&self, index: usize) -> Memory {
        self.process(index).memory()
    }

    /// The processor time that each thread of a running validator has used, by thread name.
    pub fn thread_times(&self, index: usize) -> Vec<(String, Duration)> {
        self.process(index).thread_times()
    }

    /// Everything that a validator has printed in its runs.
    pub fn log(&self, index: usize) -> String {
        std::fs::read_to_string(self.log_file(index)).unwrap_or_default()
    }

    fn log_file(&self, index: usize) -> PathBuf {
        self.logs.path().join(format!("{}.log", self.validators[index].name))
    }

    fn process(&self, index: usize) -> &Process {
        self.processes[index].as_ref().expect("the validator was started")
    }

    fn process_mut(&mut self, index: usize) -> &mut Process {
        self.processes[index].as_mut().expect("the validator was started")
    }

    fn take_process(&mut self, index: usize) -> Process {
        self.processes[index].take().expect("the validator was started")
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (index, validator) in self.validators.iter().enumerate() {
                eprintln!("--- the end of {}'s log\n{}", validator.name, tail(&self.log_file(index)));
            }
        }
    }
}
