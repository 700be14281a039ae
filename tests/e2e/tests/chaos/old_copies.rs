//! Data that was put back in time.

use std::fs;

use quorate_api::ValidatorStanding;
use quorate_e2e::{Network, copy_directory, wait_until};

use crate::scene::{Figures, Scene};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] =
    &[scenario("a backup killed and restored from an old copy, until its newest journal is back", restored)];

/// Answers of `committed` between the copy and the crash, and while the old copy runs.
const BETWEEN: usize = 200;

fn restored(length: Length) -> Figures {
    let mut scene = Scene::start(Network::testnet(4), &[0, 1, 3]);
    let index = scene.backup(2);
    let (live, old) = (scene.network.data(index), scene.network.directory().join("old"));
    let newest = scene.network.directory().join("newest");
    scene.network.stop(index);
    copy_directory(&live, &old);
    scene.network.start(index);
    scene.network.wait_until_level(index, scene.primary);
    scene.network.wait_until_it_votes(index, scene.primary);
    scene.load.wait_for_more(BETWEEN);

    scene.strikes();
    scene.network.kill(index);
    fs::rename(&live, &newest).unwrap();
    copy_directory(&old, &live);
    scene.network.start(index);
    let rpc = scene.network.rpc(index);
    wait_until("it knows that its journal is old", || {
        rpc.consensus().standing == ValidatorStanding::Recovering
    });
    let height = scene.height_of(&[scene.primary]);
    scene.load.wait_for_more(BETWEEN);
    wait_until("it follows the chain", || rpc.head().height > height);
    last(length.hold());
    assert_eq!(rpc.consensus().standing, ValidatorStanding::Recovering);

    scene.network.stop(index);
    fs::copy(newest.join("journal.redb"), live.join("journal.redb")).unwrap();
    scene.heals();
    scene.network.start(index);
    scene.network.wait_until_level(index, scene.primary);
    scene.network.wait_until_it_votes(index, scene.primary);
    scene.note = "did not vote meanwhile".to_owned();
    scene.ends()
}
