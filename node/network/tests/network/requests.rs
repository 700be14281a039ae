//! Requests and answers.

use std::time::Duration;

use bytes::Bytes;
use quorate_network::{Answer, NetworkEvent, NetworkLimits, RequestError};

use crate::support::{Node, by_key, config, eventually, key};

/// A requester and a responder that are connected, with limits for the responder and a timeout for
/// the requester.
async fn pair(limits: NetworkLimits, timeout: Duration) -> (Node, Node) {
    let members = by_key(2);
    let mut answering = config(members[0], &members);
    answering.limits = limits;
    let mut responder = Node::start(members[0], answering).await;
    let mut asking = config(members[1], &members);
    asking.bootstrap = vec![responder.address()];
    asking.timing.request_timeout = timeout;
    let mut requester = Node::start(members[1], asking).await;
    requester.connected(responder.number).await;
    responder.connected(requester.number).await;
    (requester, responder)
}

const LONG: Duration = Duration::from_secs(30);

async fn next_request(node: &mut Node) -> (Bytes, Answer) {
    node.expect("a request", |event| match event {
        NetworkEvent::Request { bytes, answer, .. } => Ok((bytes, answer)),
        other => Err(other),
    })
    .await
}

#[tokio::test]
async fn a_request_is_answered() {
    let (requester, mut responder) = pair(NetworkLimits::default(), LONG).await;
    let to = responder.key();
    let answering = async {
        let (question, answer) = next_request(&mut responder).await;
        assert_eq!(question, "2 + 2");
        answer.send(Bytes::from_static(b"4"));
    };
    let (answer, ()) = tokio::join!(requester.network.request(to, "2 + 2".into()), answering);
    assert_eq!(answer.unwrap(), "4");
}

#[tokio::test]
async fn dropping_the_answer_refuses_the_request() {
    let (requester, mut responder) = pair(NetworkLimits::default(), LONG).await;
    let to = responder.key();
    let refusing = async { drop(next_request(&mut responder).await) };
    let (answer, ()) = tokio::join!(requester.network.request(to, "please".into()), refusing);
    assert_eq!(answer, Err(RequestError::Refused));
    assert_eq!(responder.network.counters().requests_refused, 1);
    assert_eq!(requester.network.counters().requests_failed, 1);
}

#[tokio::test]
async fn a_request_above_the_limit_is_not_sent() {
    let (requester, responder) = pair(NetworkLimits::default(), LONG).await;
    let limit = NetworkLimits::default().request_bytes;
    let answer = requester.network.request(responder.key(), vec![0; limit + 1].into()).await;
    assert_eq!(answer, Err(RequestError::TooLarge { bytes: limit + 1, limit }));
}

#[tokio::test]
async fn a_request_above_the_responders_limit_is_not_read() {
    let limits = NetworkLimits { request_bytes: 1000, ..NetworkLimits::default() };
    let (requester, mut responder) = pair(limits, LONG).await;
    let answer = requester.network.request(responder.key(), vec![0; 1001].into()).await;
    assert!(matches!(answer, Err(RequestError::Failed { .. })), "{answer:?}");
    assert_eq!(responder.network.counters().malformed_received, 1);
    let seen = responder.drain();
    assert!(!seen.iter().any(|event| matches!(event, NetworkEvent::Request { .. })), "{seen:?}");
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_sent() {
    let limits = NetworkLimits { response_bytes: 1000, ..NetworkLimits::default() };
    let (requester, mut responder) = pair(limits, LONG).await;
    let to = responder.key();
    let answering = async {
        let (_, answer) = next_request(&mut responder).await;
        answer.send(vec![0; 1001].into());
    };
    let (answer, ()) = tokio::join!(requester.network.request(to, "all of it".into()), answering);
    assert_eq!(answer, Err(RequestError::AnswerTooLarge));
}

/// The limit of accepted answers changes while the connection stays.
#[tokio::test]
async fn an_answer_above_the_accepted_size_is_not_read_until_the_limit_changes() {
    let limit = NetworkLimits::default().accepted_response_bytes;
    let limits = NetworkLimits { response_bytes: 2 * limit, ..NetworkLimits::default() };
    let (requester, mut responder) = pair(limits, LONG).await;
    let to = responder.key();
    for (accepted, is_read) in [(limit, false), (limit + 1, true), (limit, false)] {
        requester.network.set_accepted_response_bytes(accepted);
        let answering = async {
            let (_, answer) = next_request(&mut responder).await;
            answer.send(vec![7; limit + 1].into());
        };
        let (answer, ()) = tokio::join!(requester.network.request(to, "all of it".into()), answering);
        match answer {
            Ok(answer) => assert!(is_read && answer.len() == limit + 1),
            Err(error) => assert!(!is_read && matches!(error, RequestError::Failed { .. }), "{error}"),
        }
    }
    assert!(requester.status(responder.number).connected);
}

#[tokio::test]
async fn no_answer_in_time_is_an_error() {
    let after = Duration::from_millis(200);
    let (requester, mut responder) = pair(NetworkLimits::default(), after).await;
    let to = responder.key();
    let (answer, held) =
        tokio::join!(requester.network.request(to, "hello?".into()), next_request(&mut responder));
    assert_eq!(answer, Err(RequestError::TimedOut { after }));
    // A late answer is harmless, and the permit is free again.
    held.1.send(Bytes::from_static(b"sorry"));
    let (_, again) =
        tokio::join!(requester.network.request(to, "hello?".into()), next_request(&mut responder));
    again.1.send(Bytes::from_static(b"sorry"));
}

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_is_refused() {
    let members = by_key(2);
    let mut answering = config(members[0], &members);
    answering.timing.request_timeout = Duration::from_millis(100);
    let mut responder = Node::start(members[0], answering).await;
    let mut requester = Node::join(members[1], &members, &[&responder]).await;
    requester.connected(responder.number).await;
    let to = responder.key();
    let (answer, _held) =
        tokio::join!(requester.network.request(to, "hello?".into()), next_request(&mut responder));
    // The responder has two timeouts; either may expire first.
    assert!(matches!(answer, Err(RequestError::Refused | RequestError::Failed { .. })), "{answer:?}");
}

#[tokio::test]
async fn requests_in_flight_are_limited() {
    let (requester, mut responder) = pair(NetworkLimits::default(), LONG).await;
    let limit = NetworkLimits::default().requests_per_peer;
    let to = responder.key();
    let waiting: Vec<_> = (0..limit)
        .map(|_| {
            let network = requester.network.clone();
            tokio::spawn(async move { network.request(to, "one of many".into()).await })
        })
        .collect();
    let mut answers = Vec::new();
    for _ in 0..limit {
        answers.push(next_request(&mut responder).await.1);
    }
    let one_more = requester.network.request(to, "one too many".into()).await;
    assert_eq!(one_more, Err(RequestError::TooMany { limit }));
    for answer in answers {
        answer.send(Bytes::from_static(b"here"));
    }
    for request in waiting {
        assert_eq!(request.await.unwrap().unwrap(), "here");
    }
}

#[tokio::test]
async fn a_responder_without_room_replies_busy() {
    let limits = NetworkLimits { requests_per_peer: 2, ..NetworkLimits::default() };
    let (requester, responder) = pair(limits, LONG).await;
    // The responder's events are not taken: two requests wait, the third is refused.
    let to = responder.key();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let network = requester.network.clone();
            tokio::spawn(async move { network.request(to, "waits".into()).await })
        })
        .collect();
    eventually("two waiting requests", || responder.network.counters().requests_received == 2).await;
    assert_eq!(requester.network.request(to, "third".into()).await, Err(RequestError::Busy));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn requests_to_unknown_and_absent_members_fail() {
    let members = by_key(2);
    let node = Node::join(members[0], &members, &[]).await;
    let absent = node.network.request(key(members[1]), "hello?".into()).await;
    assert_eq!(absent, Err(RequestError::NotConnected));
    let stranger = node.network.request(key(99), "hello?".into()).await;
    assert_eq!(stranger, Err(RequestError::UnknownPeer));
}
