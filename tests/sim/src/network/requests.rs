//! Requests between members, and the responses.

use std::time::Duration;

use quorate_engine::{
    CheckedRange, Event, FetchId, FetchRequest, FetchResponse, Fetched, Ticket, serve_committed,
};
use quorate_ledger::{Epoch, ReplicaId, decode, encode};

use crate::network::Fate;
use crate::network::packet::verify_all;
use crate::network::send::LIMITS;
use crate::oracle::{ANSWERS, Check, Violation, failed, require};
use crate::world::{Occurrence, World};

/// How long a member waits for a response before it counts as lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Who waits for the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The machine.
    pub machine: ReplicaId,
    /// Its life.
    pub life: u64,
    /// Its epoch. The engine of the next one has not sent the request.
    pub epoch: Epoch,
    /// The request.
    pub fetch: FetchId,
}

impl World {
    pub(crate) fn ask(&mut self, by: ReplicaId, to: ReplicaId, fetch: FetchId, ask: &FetchRequest) -> Check {
        let to = self.rules_of(by).member(to).expect("members ask members");
        self.work += u64::from(self.core.contains(&by) && self.core.contains(&to));
        if matches!(ask, FetchRequest::Ids { .. }) {
            self.coverage.saw("the ids of a block requested");
        }
        let bytes = encode(ask);
        require(bytes.len() <= self.rules_of(by).limits.ask, LIMITS, || {
            format!("request of {} bytes", bytes.len())
        })?;
        let member = self.member(by);
        let asker = Asker { machine: by, life: member.life, epoch: member.epoch, fetch };
        let machines = self.machines_of(to);
        let machine = machines.iter().copied().find(|machine| self.net.is_connected(by, *machine));
        match self.net.send(self.agenda.now(), by, machine.unwrap_or(to)) {
            Fate::Arrives(times) => {
                let to = machine.unwrap_or(to);
                self.agenda.at(times[0], Occurrence::Asked { by: asker, to, bytes });
            }
            // Some networks report a failed request, others leave it to the member's timeout.
            Fate::Lost if self.random.permille(500) => {
                let over = Occurrence::Answered { to: asker, from: to, bytes: None };
                self.agenda.after(ANSWER_TIMEOUT, over);
            }
            Fate::Lost => {}
        }
        Ok(())
    }

    pub(crate) fn answer(&mut self, replica: ReplicaId, ticket: Ticket, answer: FetchResponse) -> Check {
        let process = self.member(replica).process().expect("it speaks");
        let (asker, ask) = process.requests.remove(&ticket).expect("it was asked");
        // A block that is not in flight may be committed: the node around an engine then reads the
        // ledger.
        let answer = match answer {
            FetchResponse::Nothing => {
                serve_committed(&process.engine.reader(), &ask).map_err(|error| failed(replica, &error))?
            }
            answer => answer,
        };
        let answer = self.adversary_response(replica, asker.machine, &ask, answer);
        let bytes = encode(&answer);
        require(bytes.len() <= self.rules_of(replica).limits.answer, LIMITS, || {
            format!("answer of {} bytes", bytes.len())
        })?;
        let from = self.members[replica.index()].identity;
        if let Fate::Arrives(times) = self.net.send(self.agenda.now(), replica, asker.machine) {
            // Responses have a stream of their own: they arrive once or not at all.
            let bytes = Some(bytes);
            self.agenda.at(times[0], Occurrence::Answered { to: asker, from, bytes });
        }
        Ok(())
    }

    pub(crate) fn asked(&mut self, by: Asker, to: ReplicaId, bytes: &[u8]) -> Check {
        let ask: FetchRequest = decode(bytes).map_err(|error| failed(by.machine, &error))?;
        self.note(format_args!("{} asks {to} {} bytes", by.machine, bytes.len()));
        let Some(process) = self.member(to).process() else { return Ok(()) };
        let ticket = process.ticket();
        process.requests.insert(ticket, (by, ask.clone()));
        self.give(to, Event::Asked { ticket, ask });
        Ok(())
    }

    pub(crate) fn answered(&mut self, asker: Asker, from: ReplicaId, bytes: Option<Vec<u8>>) -> Check {
        let Asker { machine: to, life, epoch, fetch } = asker;
        if !self.lives(to, life) || self.epoch_of(to) != epoch {
            return Ok(());
        }
        self.note(format_args!("{from} answers {to} {:?} bytes", bytes.as_ref().map(Vec::len)));
        let rules = self.epochs.of(epoch);
        let me = self.seat_of(to);
        let peer = rules.seat(from).expect("it was asked in this epoch");
        // The member handles it when its disk is idle again.
        let now = self.agenda.now();
        let handled = self.member(to).process().map_or(now, |process| process.busy_until.max(now));
        self.epochs.of_mut(epoch).asked.answered(handled, me, fetch);
        let answer = match bytes {
            Some(bytes) => self.read_answer(epoch, from, &bytes)?,
            None => None,
        };
        if answer.is_some() {
            self.epochs.of_mut(epoch).asked.helped(me, fetch);
        }
        self.give(to, Event::Answered { fetch, from: peer, answer });
        Ok(())
    }

    fn read_answer(
        &mut self,
        epoch: Epoch,
        from: ReplicaId,
        bytes: &[u8],
    ) -> Result<Option<Fetched>, Violation> {
        let answer = self.check_answer(epoch, from, bytes);
        if answer.is_err() && self.lies(from) {
            self.coverage.saw("a Byzantine member's response refused");
            return Ok(None);
        }
        answer
    }

    /// A member checks an answer in its epoch.
    fn check_answer(
        &mut self,
        epoch: Epoch,
        from: ReplicaId,
        bytes: &[u8],
    ) -> Result<Option<Fetched>, Violation> {
        match decode::<FetchResponse>(bytes).map_err(|error| failed(from, &error))? {
            FetchResponse::Nothing => Ok(None),
            FetchResponse::Transactions(transactions) => {
                let verified = verify_all(transactions, &self.signatures);
                let verified = verified.map_err(|reason| Violation { rule: ANSWERS, what: reason })?;
                self.coverage.saw("a proposal completed by a response");
                Ok(Some(Fetched::Transactions(verified)))
            }
            FetchResponse::Ids(ids) => Ok(Some(Fetched::Ids(ids))),
            FetchResponse::Blocks(run) => {
                let checked = CheckedRange::check(run, self.epochs.of(epoch).context());
                Ok(Some(Fetched::Range(checked.map_err(|error| failed(from, &error))?)))
            }
        }
    }
}
