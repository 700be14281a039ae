//! Questions and answers.

use std::time::Duration;

use bytes::Bytes;
use quorate_network::{Answer, NetworkEvent, NetworkLimits, RequestError};

use crate::support::{Node, by_key, config, eventually, key};

/// An asker and an answerer, connected, with limits for the answerer and a timeout for the asker.
async fn pair(limits: NetworkLimits, timeout: Duration) -> (Node, Node) {
    let members = by_key(2);
    let mut answering = config(members[0], &members);
    answering.limits = limits;
    let mut answerer = Node::start(members[0], answering).await;
    let mut asking = config(members[1], &members);
    asking.bootstrap = vec![answerer.address()];
    asking.timing.request_timeout = timeout;
    let mut asker = Node::start(members[1], asking).await;
    asker.connected(answerer.number).await;
    answerer.connected(asker.number).await;
    (asker, answerer)
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
    let (asker, mut answerer) = pair(NetworkLimits::default(), LONG).await;
    let to = answerer.key();
    let answering = async {
        let (question, answer) = next_request(&mut answerer).await;
        assert_eq!(question, "2 + 2");
        answer.send(Bytes::from_static(b"4"));
    };
    let (answer, ()) = tokio::join!(asker.network.request(to, "2 + 2".into()), answering);
    assert_eq!(answer.unwrap(), "4");
}

#[tokio::test]
async fn to_drop_the_answer_is_to_refuse() {
    let (asker, mut answerer) = pair(NetworkLimits::default(), LONG).await;
    let to = answerer.key();
    let refusing = async { drop(next_request(&mut answerer).await) };
    let (answer, ()) = tokio::join!(asker.network.request(to, "please".into()), refusing);
    assert_eq!(answer, Err(RequestError::Refused));
    assert_eq!(answerer.network.counters().requests_refused, 1);
    assert_eq!(asker.network.counters().requests_failed, 1);
}

#[tokio::test]
async fn a_request_above_the_limit_is_not_sent() {
    let (asker, answerer) = pair(NetworkLimits::default(), LONG).await;
    let limit = NetworkLimits::default().request_bytes;
    let answer = asker.network.request(answerer.key(), vec![0; limit + 1].into()).await;
    assert_eq!(answer, Err(RequestError::TooLarge { bytes: limit + 1, limit }));
}

#[tokio::test]
async fn a_request_above_the_others_limit_is_not_read() {
    let limits = NetworkLimits { request_bytes: 1000, ..NetworkLimits::default() };
    let (asker, mut answerer) = pair(limits, LONG).await;
    let answer = asker.network.request(answerer.key(), vec![0; 1001].into()).await;
    assert!(matches!(answer, Err(RequestError::Failed { .. })), "{answer:?}");
    assert_eq!(answerer.network.counters().garbage_received, 1);
    let seen = answerer.drain();
    assert!(!seen.iter().any(|event| matches!(event, NetworkEvent::Request { .. })), "{seen:?}");
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_sent() {
    let limits = NetworkLimits { response_bytes: 1000, ..NetworkLimits::default() };
    let (asker, mut answerer) = pair(limits, LONG).await;
    let to = answerer.key();
    let answering = async {
        let (_, answer) = next_request(&mut answerer).await;
        answer.send(vec![0; 1001].into());
    };
    let (answer, ()) = tokio::join!(asker.network.request(to, "all of it".into()), answering);
    assert_eq!(answer, Err(RequestError::AnswerTooLarge));
}

#[tokio::test]
async fn no_answer_in_time_is_an_error() {
    let after = Duration::from_millis(200);
    let (asker, mut answerer) = pair(NetworkLimits::default(), after).await;
    let to = answerer.key();
    let (answer, held) =
        tokio::join!(asker.network.request(to, "hello?".into()), next_request(&mut answerer));
    assert_eq!(answer, Err(RequestError::TimedOut { after }));
    // An answer that comes too late hurts nobody, and the permit is free again.
    held.1.send(Bytes::from_static(b"sorry"));
    let (_, again) = tokio::join!(asker.network.request(to, "hello?".into()), next_request(&mut answerer));
    again.1.send(Bytes::from_static(b"sorry"));
}

#[tokio::test]
async fn an_answer_we_sit_on_is_refused_in_the_end() {
    let members = by_key(2);
    let mut answering = config(members[0], &members);
    answering.timing.request_timeout = Duration::from_millis(100);
    let mut answerer = Node::start(members[0], answering).await;
    let mut asker = Node::join(members[1], &members, &[&answerer]).await;
    asker.connected(answerer.number).await;
    let to = answerer.key();
    let (answer, _held) =
        tokio::join!(asker.network.request(to, "hello?".into()), next_request(&mut answerer));
    // Whichever of the answerer's two clocks is first.
    assert!(matches!(answer, Err(RequestError::Refused | RequestError::Failed { .. })), "{answer:?}");
}

#[tokio::test]
async fn requests_under_way_are_limited() {
    let (asker, mut answerer) = pair(NetworkLimits::default(), LONG).await;
    let limit = NetworkLimits::default().requests_per_peer;
    let to = answerer.key();
    let waiting: Vec<_> = (0..limit)
        .map(|_| {
            let network = asker.network.clone();
            tokio::spawn(async move { network.request(to, "one of many".into()).await })
        })
        .collect();
    let mut answers = Vec::new();
    for _ in 0..limit {
        answers.push(next_request(&mut answerer).await.1);
    }
    let one_more = asker.network.request(to, "one too many".into()).await;
    assert_eq!(one_more, Err(RequestError::TooMany { limit }));
    for answer in answers {
        answer.send(Bytes::from_static(b"here"));
    }
    for request in waiting {
        assert_eq!(request.await.unwrap().unwrap(), "here");
    }
}

#[tokio::test]
async fn an_answerer_without_room_says_so() {
    let limits = NetworkLimits { requests_per_peer: 2, ..NetworkLimits::default() };
    let (asker, answerer) = pair(limits, LONG).await;
    // Nobody takes the events of the answerer: two requests wait, the third is turned away.
    let to = answerer.key();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let network = asker.network.clone();
            tokio::spawn(async move { network.request(to, "waits".into()).await })
        })
        .collect();
    eventually("two waiting requests", || answerer.network.counters().requests_in == 2).await;
    assert_eq!(asker.network.request(to, "third".into()).await, Err(RequestError::Busy));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn strangers_and_absent_members_cannot_be_asked() {
    let members = by_key(2);
    let node = Node::join(members[0], &members, &[]).await;
    let absent = node.network.request(key(members[1]), "hello?".into()).await;
    assert_eq!(absent, Err(RequestError::NotConnected));
    let stranger = node.network.request(key(99), "hello?".into()).await;
    assert_eq!(stranger, Err(RequestError::UnknownPeer));
}
