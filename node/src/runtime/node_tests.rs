#![allow(clippy::unwrap_used)]
use std::path::Path;

use quorate_genesis::TestNetwork;
use quorate_ledger::Payload;
use tokio::net::TcpStream;

use super::*;
use crate::config;
use crate::runtime::clock::wall;

fn config(home: &Path, listen: &str) -> Config {
    let text = format!("[p2p]\nlisten = [\"{listen}\"]\n[rpc]\nlisten = \"127.0.0.1:0\"\n");
    std::fs::write(home.join("config.toml"), text).unwrap();
    config::read(home, &config::Overrides::default()).unwrap()
}

#[test]
fn a_node_that_starts_again_uses_the_ports_that_the_system_chose() {
    let home = tempfile::tempdir().unwrap();
    let p2p = vec!["/ip4/127.0.0.1/tcp/4242/p2p/16Uiu2HAm".to_owned(), "/ip6/::1/tcp/4343".to_owned()];
    let addresses = Addresses { rpc: "127.0.0.1:8888".parse().unwrap(), p2p };
    let kept = |listen: &str| {
        let mut config = config(home.path(), listen);
        keep_addresses(&mut config, &addresses);
        (config.rpc.listen.to_string(), config.p2p_listen)
    };
    let rpc = "127.0.0.1:8888".to_owned();
    assert_eq!(kept("/ip4/127.0.0.1/tcp/0"), (rpc.clone(), vec!["/ip4/127.0.0.1/tcp/4242".to_owned()]));
    assert_eq!(kept("/ip6/::1/tcp/0"), (rpc.clone(), vec!["/ip6/::1/tcp/4343".to_owned()]));
    let fixed = "/ip4/127.0.0.1/tcp/9000";
    assert_eq!(kept(fixed), (rpc, vec![fixed.to_owned()]), "a configured port stays");
}

#[test]
fn only_a_key_that_the_ledger_does_not_know_opens_another_way() {
    let home = tempfile::tempdir().unwrap();
    let network = TestNetwork::seeded(4, 1);
    let state = network.genesis().governance_state();
    let stranger = TestNetwork::seeded(1, 9).keys()[0].clone();
    let (member, other) = (network.keys()[0].clone(), network.keys()[1].clone());
    let ways = |next: Option<&SecretKey>, source: Option<&SecretKey>| {
        let mut config = config(home.path(), "/ip4/127.0.0.1/tcp/0");
        let address = |key: &SecretKey| {
            let id = quorate_network::peer_id_text(&peer_key(&key.public())).unwrap();
            format!("/ip4/127.0.0.1/tcp/9000/p2p/{id}")
        };
        config.p2p_bootstrap = source.map(address).into_iter().collect();
        let (genesis, key, name) = (network.genesis().clone(), member.clone(), "bank-a".to_owned());
        let setup = Setup { genesis, key, next_key: next.cloned(), name, config, log_level: None };
        Way::all(&setup, &state)
    };
    assert_eq!(ways(None, None), [Way::InForce]);
    assert_eq!(ways(Some(&stranger), None), [Way::InForce, Way::FollowWithNext]);
    assert_eq!(ways(Some(&other), Some(&other)), [Way::InForce], "in force already");
    assert_eq!(ways(None, Some(&stranger)), [Way::InForce, Way::Follow]);
    assert_eq!(ways(None, Some(&member)), [Way::InForce], "the own key is no source");
    let both = ways(Some(&stranger), Some(&TestNetwork::seeded(1, 8).keys()[0]));
    let tried: Vec<Way> = both.iter().map(|way| way.next(&both)).collect();
    assert_eq!(tried, [Way::FollowWithNext, Way::Follow, Way::InForce]);
}

/// It would count in the quorum, and could not vote.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_with_the_journal_of_another_key_does_not_start() {
    let home = tempfile::tempdir().unwrap();
    let genesis = TestNetwork::seeded(4, 1).genesis().clone();
    let keys = TestNetwork::seeded(2, 9).keys().to_vec();
    let mut config = config(home.path(), "/ip4/127.0.0.1/tcp/0");
    config.ledger = home.path().join("ledger.redb");
    config.journal = home.path().join("journal.redb");
    let journal = Some(config.journal.as_path());
    let initial = genesis.governance_state();
    data_files::create(&genesis, &initial, &keys[1].public(), &config.ledger, journal).unwrap();
    let (key, name) = (keys[0].clone(), "candidate".to_owned());
    let setup = Setup { genesis, key, next_key: None, name, config, log_level: None };
    let error = start_role(setup, None, Way::InForce, &mut Vec::new()).await.map(drop).unwrap_err();
    assert!(format!("{error:#}").contains("start with --init"), "{error:#}");
}

/// A validator that is not yet a member, since another role needs a network. The ledger passes
/// from one start to the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_has_changed_starts_again_at_the_same_addresses() {
    let home = tempfile::tempdir().unwrap();
    let genesis = TestNetwork::seeded(4, 1).genesis().clone();
    let key = TestNetwork::seeded(1, 9).keys()[0].clone();
    let mut config = config(home.path(), "/ip4/127.0.0.1/tcp/0");
    config.ledger = home.path().join("ledger.redb");
    let initial = genesis.governance_state();
    data_files::create(&genesis, &initial, &key.public(), &config.ledger, None).unwrap();
    let mut setup =
        Setup { genesis, key, next_key: None, name: "candidate".to_owned(), config, log_level: None };

    let started = start_role(setup.clone(), None, Way::InForce, &mut Vec::new()).await.unwrap();
    let (first, ending) = (Addresses::of(&started.0), started.0.ending.clone());
    keep_addresses(&mut setup.config, &first);
    let (addresses, mut known) = watch::channel(first.clone());
    let (failing, failure) = watch::channel(None);
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(Roles { setup, addresses, failing, pooled: Vec::new() }.run(started, stopped));

    ending.send_replace(Some(End::RoleChanged));
    timeout(Duration::from_secs(60), known.changed()).await.unwrap().unwrap();
    let again = known.borrow().clone();
    assert_eq!((again.rpc, again.p2p), (first.rpc, first.p2p));
    TcpStream::connect(first.rpc).await.unwrap();
    assert!(failure.borrow().is_none());
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
}

/// A member of a network whose other members do not run, so its pool does not change. It follows for a
/// while, as an isolated node does.
#[tokio::test(flavor = "multi_thread")]
async fn the_pool_of_a_validator_outlives_its_role() {
    let home = tempfile::tempdir().unwrap();
    let network = TestNetwork::seeded(4, 1);
    let (genesis, key) = (network.genesis().clone(), network.keys()[0].clone());
    let mut config = config(home.path(), "/ip4/127.0.0.1/tcp/0");
    config.ledger = home.path().join("ledger.redb");
    config.journal = home.path().join("journal.redb");
    let journal = Some(config.journal.as_path());
    data_files::create(&genesis, &genesis.governance_state(), &key.public(), &config.ledger, journal)
        .unwrap();
    let valid_until = wall().plus_ms(60_000);
    let pooled = (0..3).map(|nonce| {
        VerifiedTransaction::sign(&genesis.chain_id(), &key, nonce, valid_until, Payload::Data(vec![1]))
    });
    let mut pooled: Vec<VerifiedTransaction> = pooled.collect();
    let ids: Vec<_> = pooled.iter().map(VerifiedTransaction::id).collect();
    let setup = Setup { genesis, key, next_key: None, name: "bank-a".to_owned(), config, log_level: None };

    let (role, _) = start_role(setup.clone(), None, Way::InForce, &mut pooled).await.unwrap();
    assert!(pooled.is_empty());
    let (addresses, failing) = (watch::channel(Addresses::of(&role)).0, watch::channel(None).0);
    let mut roles = Roles { setup, addresses, failing, pooled };
    let (role, _) = roles.start_again(role, Way::Follow).await.unwrap();
    assert_eq!(roles.pooled.len(), 3);
    let (role, _) = roles.start_again(role, Way::Follow).await.unwrap();
    let (role, _) = roles.start_again(role, Way::InForce).await.unwrap();
    assert!(roles.pooled.is_empty());
    let handover = role.stop().await.unwrap().unwrap();
    assert_eq!(handover.pooled.iter().map(VerifiedTransaction::id).collect::<Vec<_>>(), ids);
}
