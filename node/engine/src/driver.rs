//! Steps the replica, and keeps its steps and requests until the engine takes them.

use std::collections::VecDeque;

use quorate_pbft::{Counters, Input, Now, Replica, Request, Steps};

/// The replica with its queues.
#[derive(Debug)]
pub(crate) struct Driver {
    replica: Replica,
    /// What the replicas of earlier epochs counted.
    counted: Counters,
    inputs: VecDeque<Input>,
    /// Steps since the last group was written.
    steps: Steps,
    requests: VecDeque<Request>,
}

impl Driver {
    /// Drives this replica. `first` is its first input.
    pub(crate) fn new(replica: Replica, first: Input) -> Self {
        Driver {
            replica,
            counted: Counters::default(),
            inputs: VecDeque::from([first]),
            steps: Steps::default(),
            requests: VecDeque::new(),
        }
    }

    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What this replica and those of earlier epochs counted, since the start of the process.
    pub(crate) fn counters(&self) -> Counters {
        self.counted.plus(self.replica.counters())
    }

    /// Continues to count from here.
    pub(crate) fn count_from(&mut self, counted: Counters) {
        self.counted = counted;
    }

    /// Queues an input. [`Driver::run`] steps the replica through it.
    pub(crate) fn push(&mut self, input: Input) {
        self.inputs.push_back(input);
    }

    /// Steps the replica through all queued inputs.
    pub(crate) fn run(&mut self, now: Now) {
        while let Some(input) = self.inputs.pop_front() {
            let mut step = self.replica.step(now, input);
            self.requests.extend(step.take_requests());
            self.steps.absorb(step);
        }
    }

    /// Steps the replica through this input, after all that are queued.
    pub(crate) fn step(&mut self, now: Now, input: Input) {
        self.push(input);
        self.run(now);
    }

    /// The next request of the replica to the engine.
    pub(crate) fn take_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// The steps since the last call. Their records must be durable before their messages leave
    /// (R13).
    pub(crate) fn take_steps(&mut self) -> Steps {
        std::mem::take(&mut self.steps)
    }
}
