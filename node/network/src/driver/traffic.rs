//! Processing of gossip, requests and answers.

use bytes::Bytes;
use futures::FutureExt;
use libp2p::request_response::{Event, Message, OutboundFailure, OutboundRequestId, ResponseChannel};
use libp2p::{PeerId, gossipsub};

use super::{Command, Driver};
use crate::error::RequestError;
use crate::event::Answer;
use crate::peer::Rank;
use crate::protocols::requests::Reply;

impl Driver {
    /// A gossip message arrived, or one was dropped for a slow peer.
    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message, .. } => {
                let peer = self.peers.by_id(&propagation_source).filter(|peer| peer.is_member());
                let Some(peer) = peer else { return };
                match self.inbox.gossip(&peer.source, message.data.into()) {
                    Ok(()) => self.counters.gossip_received.one(),
                    Err(_) => self.counters.gossip_dropped.one(),
                }
            }
            gossipsub::Event::SlowPeer { failed_messages, .. } => {
                let failed = failed_messages.priority + failed_messages.non_priority;
                self.counters.gossip_slow_peer.add(failed as u64);
            }
            _ => {}
        }
    }

    /// Executes a command of the handle.
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { bytes, room } => {
                let sent = self.swarm.behaviour_mut().gossip.publish(self.topic.clone(), bytes.to_vec());
                match sent {
                    Ok(_) => self.counters.gossip_sent.one(),
                    Err(gossipsub::PublishError::Duplicate) => self.counters.gossip_repeated.one(),
                    Err(_) => {
                        self.counters.gossip_without_receiver.one();
                        // Just after connecting no subscription is known yet, but the direct
                        // streams work.
                        self.peers.broadcast(Rank::Member, &bytes, &self.counters);
                    }
                }
                drop(room);
            }
            Command::Request { to, bytes, answer } => {
                // Without a connection, libp2p would keep the request and dial by itself.
                if !self.swarm.is_connected(&to) {
                    let _ = answer.send(Err(RequestError::NotConnected));
                    return;
                }
                let id = self.swarm.behaviour_mut().requests.send_request(&to, bytes);
                self.work.pending_requests.insert(id, answer);
            }
        }
    }

    /// A request arrived, or a request of this node ended.
    pub(super) fn on_request_event(&mut self, event: Event<Bytes, Reply>) {
        match event {
            Event::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.on_request(&peer, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                self.on_reply(request_id, reply_result(response));
            }
            Event::OutboundFailure { request_id, error, .. } => {
                self.on_reply(request_id, Err(self.request_error(&error)));
            }
            Event::InboundFailure { .. } | Event::ResponseSent { .. } => {}
        }
    }

    fn on_request(&mut self, id: &PeerId, bytes: Bytes, channel: ResponseChannel<Reply>) {
        let Some(peer) = self.peers.by_id(id) else { return };
        let (answer, answered) = Answer::new();
        if self.inbox.request(&peer.source, bytes, answer).is_err() {
            self.counters.requests_refused.one();
            return self.reply(channel, Reply::Busy);
        }
        self.counters.requests_received.one();
        let request_timeout = self.timing.request_timeout;
        let answering = async move {
            let answer = tokio::time::timeout(request_timeout, answered).await;
            (channel, answer.ok().and_then(Result::ok))
        };
        self.work.pending_answers.push(answering.boxed());
    }

    /// The layer above answered, refused, or did not answer within the timeout.
    pub(super) fn on_answer(&mut self, channel: ResponseChannel<Reply>, answer: Option<Bytes>) {
        let reply = match answer {
            None => Reply::Refused,
            Some(bytes) if bytes.len() > self.limits.response_bytes => Reply::TooLarge,
            Some(bytes) => Reply::Answer(bytes),
        };
        if !matches!(reply, Reply::Answer(_)) {
            self.counters.requests_refused.one();
        }
        self.reply(channel, reply);
    }

    fn reply(&mut self, channel: ResponseChannel<Reply>, reply: Reply) {
        // An error means that the requester is gone or no longer waits.
        let _ = self.swarm.behaviour_mut().requests.send_response(channel, reply);
    }

    fn on_reply(&mut self, id: OutboundRequestId, result: Result<Bytes, RequestError>) {
        if let Some(requester) = self.work.pending_requests.remove(&id) {
            // An error means that the requester no longer waits.
            let _ = requester.send(result);
        }
    }

    fn request_error(&self, failure: &OutboundFailure) -> RequestError {
        match failure {
            OutboundFailure::DialFailure => RequestError::NotConnected,
            OutboundFailure::Timeout => RequestError::TimedOut { after: self.timing.request_timeout },
            OutboundFailure::ConnectionClosed
            | OutboundFailure::UnsupportedProtocols
            | OutboundFailure::Io(_) => RequestError::Failed { reason: failure.to_string() },
        }
    }
}

fn reply_result(reply: Reply) -> Result<Bytes, RequestError> {
    match reply {
        Reply::Answer(bytes) => Ok(bytes),
        Reply::Refused => Err(RequestError::Refused),
        Reply::Busy => Err(RequestError::Busy),
        Reply::TooLarge => Err(RequestError::AnswerTooLarge),
    }
}
