//! Disks without free space. The tests need root to mount a file system of their own; without root,
//! they print that they were skipped.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use quorate_api::WarningKind;
use quorate_e2e::{Invocation, Network, WAIT_LIMIT, until, wait_until};

/// Enough space for a new validator, and not for much more.
const SIZE: &str = "size=48m";

/// Bytes of a payload that soon uses up the free space within a file.
const LARGE: usize = 32 << 10;

/// The system's message about a full disk.
const FULL: &str = "No space left on device";

/// A mounted file system; unmounted when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// In memory, of limited size. `None` if it cannot be mounted.
    fn small(path: &Path) -> Option<Mounted> {
        mount(&["-t", "tmpfs", "-o", SIZE, "tmpfs"], path)
    }

    /// A read-only mount of another directory.
    fn read_only(of: &Path, path: &Path) -> Option<Mounted> {
        let mounted = mount(&["--bind", of.to_str().unwrap()], path)?;
        let again = Command::new("mount").args(["-o", "remount,bind,ro"]).arg(path).status();
        again.is_ok_and(|status| status.success()).then_some(mounted)
    }
}

fn mount(arguments: &[&str], path: &Path) -> Option<Mounted> {
    fs::create_dir_all(path).unwrap();
    let status = Command::new("mount").args(arguments).arg(path).stderr(std::process::Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) {
        return Some(Mounted(path.to_owned()));
    }
    println!("SKIPPED: this user cannot mount file systems, so full and read-only disks were NOT tested");
    None
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Moves the data of a stopped validator to a file system of its own.
fn move_data(network: &Network, index: usize) -> Option<(Mounted, PathBuf)> {
    let data = network.validators()[index].home.join("data");
    let kept = network.validators()[index].home.join("kept");
    fs::rename(&data, &kept).unwrap();
    let Some(mounted) = Mounted::small(&data) else {
        fs::remove_dir(&data).unwrap();
        fs::rename(&kept, &data).unwrap();
        return None;
    };
    for file in ["ledger.redb", "journal.redb"] {
        fs::copy(kept.join(file), data.join(file)).unwrap();
    }
    Some((mounted, data))
}

/// Leaves only this much free space.
fn fill(data: &Path) -> PathBuf {
    let path = data.join("filler");
    let mut file = File::create(&path).unwrap();
    let megabyte = vec![1; 64 << 10];
    while file.write_all(&megabyte).is_ok() {}
    path
}

/// Orders until a validator has ended because its disk is full; returns everything that it has
/// printed, in this and earlier runs.
fn log_until_full(network: &mut Network, index: usize) -> String {
    let before = network.log(index).matches(FULL).count();
    until("the validator stops", 2 * WAIT_LIMIT, || {
        network.order_one_with(0, LARGE);
        (!network.is_running(index)).then_some(())
    });
    let status = network.status_of_ended(index);
    let log = network.log(index);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.matches(FULL).count() > before && !log.contains("panicked"), "{log}");
    log
}

/// A validator reports a nearly full disk, stops with a clear message when the disk is full, and
/// has lost nothing when there is space again.
#[test]
fn a_full_disk_stops_a_validator_and_nothing_is_lost() {
    let mut network = Network::testnet(4);
    let full = 3;
    let Some((_mounted, data)) = move_data(&network, full) else { return };
    // It has too little space to be ready, but takes part.
    (0..4).for_each(|index| network.start(index));
    (0..4).for_each(|index| network.wait_until_connected(index, 3));
    network.order_one(full);
    let rpc = network.rpc(full);
    let report = until("the disk is a warning", WAIT_LIMIT, || {
        rpc.explanation().warnings.into_iter().find(|warning| warning.kind == WarningKind::Disk)
    });
    assert!(report.text.contains("MiB of disk space are free"), "{report:?}");
    assert_eq!(rpc.page("/readyz"), Some(503), "it is not ready with so little space");
    let metrics = rpc.text("/metrics").unwrap();
    let free = metrics.lines().find_map(|line| line.strip_prefix("quorate_disk_free_bytes "));
    assert!(free.is_some_and(|free| free.parse::<f64>().unwrap() < f64::from(48 << 20)), "{free:?}");

    let filler = fill(&data);
    let log = log_until_full(&mut network, full);
    assert!(log.contains("storage failed") && log.contains("check the disk"), "{log}");
    // The others continue. After a restart the validator can only use the free pages within its
    // files, which may not be enough to make progress.
    network.order_one(1);
    network.start_without_waiting(full);
    log_until_full(&mut network, full);

    fs::remove_file(filler).unwrap();
    network.start(full);
    network.wait_until_caught_up(full, 0);
    // Its vote is needed now.
    network.kill(1);
    network.order_one(full);
    let chain = network.equal_chains(&[0, 2, full]);
    assert!(chain.height() > 3);
}

#[test]
fn a_read_only_disk_is_told_and_nothing_is_tried() {
    let mut network = Network::running(4);
    network.order_one(0);
    network.stop(3);
    let home = network.validators()[3].home.clone();
    let (data, kept) = (home.join("data"), home.join("kept"));
    fs::rename(&data, &kept).unwrap();
    let Some(mounted) = Mounted::read_only(&kept, &data) else { return };
    let refused = Invocation::new(["node", "--home", home.to_str().unwrap()]).within(WAIT_LIMIT).run();
    refused.expect_error(&["ledger.redb", "Read-only file system"]);
    network.order_one(0);
    drop(mounted);
    fs::remove_dir(&data).unwrap();
    fs::rename(&kept, &data).unwrap();
    network.start(3);
    network.wait_until_caught_up(3, 0);
    wait_until("it takes part", || network.rpc(3).page("/readyz") == Some(200));
    network.equal_chains(&[0, 1, 2, 3]);
}
