//! A disk in memory that loses unsynced data, for tests and simulations.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use crate::backends::pages::{Pages, Piece};

/// The unit of atomic writes: a power loss cuts a write only between sectors.
const SECTOR_BYTES: usize = 512;

/// A disk in memory that can lose power and fail, for tests and simulations of ledger and journal.
///
/// Clones are handles of the same disk. A process uses it through [`ForgetfulDisk::attach`].
/// Attaching again simulates that the process was killed and restarted: the earlier attachment
/// stops working, and everything written stays, synced or not. Only [`ForgetfulDisk::power_loss`]
/// and [`ForgetfulDisk::torn_power_loss`] lose data.
///
/// Everything is deterministic: what survives depends only on the calls and the seed. The disk
/// grows with its file. What is read, what is durable and what was written in between share the pages
/// that are the same in them, and so do copies of a disk.
#[derive(Debug, Clone, Default)]
pub struct ForgetfulDisk {
    state: Arc<Mutex<State>>,
}

/// One process's use of a [`ForgetfulDisk`]. Fails once the disk is attached again or has lost
/// power.
#[derive(Debug)]
pub struct Attachment {
    state: Arc<Mutex<State>>,
    number: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write(Piece),
    Resize { length: usize },
}

#[derive(Debug, Default)]
struct State {
    /// The content that reads return.
    cached: Pages,
    /// The content after a power loss.
    durable: Pages,
    /// The changes that the next sync makes durable.
    unsynced: Vec<Change>,
    /// The changes of a failed sync. As on Linux, the next sync does not retry them.
    doubtful: Vec<Change>,
    /// The current attachment, if any.
    attached: Option<u64>,
    attachments: u64,
    syncs: u64,
    /// Number of the sync at which power fails.
    cut_at: Option<u64>,
    /// Number of the sync that fails.
    fail_at: Option<u64>,
}

impl ForgetfulDisk {
    /// An empty disk.
    pub fn new() -> Self {
        ForgetfulDisk::default()
    }

    /// A disk with this content, all of it durable: a copy or backup of another one, or a damaged
    /// one.
    pub fn with_contents(contents: impl AsRef<[u8]>) -> Self {
        ForgetfulDisk::over(Pages::new(contents.as_ref()))
    }

    /// Another disk with the content that a process would read now, all of it durable.
    pub fn copy(&self) -> Self {
        ForgetfulDisk::over(self.lock().cached.clone())
    }

    fn over(pages: Pages) -> Self {
        let state = State { cached: pages.clone(), durable: pages, ..State::default() };
        ForgetfulDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// The content that a process would read now.
    pub fn contents(&self) -> Vec<u8> {
        self.lock().cached.to_vec()
    }

    /// Attaches to the disk, as a process does when it starts. Earlier attachments stop working.
    pub fn attach(&self) -> Attachment {
        let mut state = self.lock();
        state.attachments += 1;
        state.attached = Some(state.attachments);
        Attachment { state: Arc::clone(&self.state), number: state.attachments }
    }

    /// Loses power: everything since the last sync is lost, the attachment stops working, and
    /// planned failures are cleared.
    pub fn power_loss(&self) {
        self.lock().lose_power(|_| false);
    }

    /// Loses power during a write: some of the sectors written since the last sync, and some of the
    /// changes of length, survive. The seed determines which; some seeds keep all, some none, most
    /// a part.
    pub fn torn_power_loss(&self, seed: u64) {
        let mut random = Random::new(seed);
        let shares = [0, 1, 3, 8, 13, 15, 16];
        let share = shares[random.below(shares.len())];
        self.lock().lose_power(|_| random.below(16) < share);
    }

    /// Makes the power fail at the sync after the next `syncs`. That sync makes nothing durable,
    /// and nothing works until [`ForgetfulDisk::power_loss`] or [`ForgetfulDisk::torn_power_loss`]
    /// determines what was lost.
    pub fn cut_power_after(&self, syncs: u64) {
        let mut state = self.lock();
        state.cut_at = Some(state.syncs + syncs + 1);
    }

    /// Makes the sync after the next `syncs` fail once with an I/O error. The changes that it was
    /// to make durable are lost with the next power loss, whatever is synced later.
    pub fn fail_sync_after(&self, syncs: u64) {
        let mut state = self.lock();
        state.fail_at = Some(state.syncs + syncs + 1);
    }

    /// Syncs so far, failed ones included.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Ignore poisoning: a second panic must not hide the panic of a test that held the lock.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn lose_power(&mut self, mut survives: impl FnMut(&Change) -> bool) {
        let lost: Vec<Change> = self.doubtful.drain(..).chain(self.unsynced.drain(..)).collect();
        for change in lost.into_iter().flat_map(Change::sectors) {
            if survives(&change) {
                change.apply_cut(&mut self.durable);
            }
        }
        self.cached.clone_from(&self.durable);
        self.attached = None;
        self.cut_at = None;
        self.fail_at = None;
    }

    fn change(&mut self, change: Change) {
        change.apply_cut(&mut self.cached);
        self.unsynced.push(change);
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs += 1;
        if self.cut_at == Some(self.syncs) {
            self.attached = None;
            return Err(io::Error::other("power lost"));
        }
        if self.fail_at == Some(self.syncs) {
            self.doubtful.append(&mut self.unsynced);
            return Err(io::Error::other("input/output error"));
        }
        for change in self.unsynced.drain(..) {
            change.apply_cut(&mut self.durable);
        }
        Ok(())
    }
}

impl Change {
    /// Applies the change to a disk whose length may differ from when the change was made. Bytes
    /// beyond the end are lost.
    fn apply_cut(&self, disk: &mut Pages) {
        match self {
            Change::Resize { length } => disk.resize(*length),
            Change::Write(piece) => disk.write(piece),
        }
    }

    /// Splits the change into parts, of which a power loss may keep some.
    fn sectors(self) -> Vec<Change> {
        match self {
            Change::Resize { .. } => vec![self],
            Change::Write(piece) => piece.sectors(SECTOR_BYTES).map(Change::Write).collect(),
        }
    }
}

impl Attachment {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = lock(&self.state);
        if state.attached == Some(self.number) {
            Ok(state)
        } else {
            Err(io::Error::other("the disk lost power or is used by a later process"))
        }
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl StorageBackend for Attachment {
    fn len(&self) -> io::Result<u64> {
        Ok(self.alive()?.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = place(offset)?;
        if self.alive()?.cached.read(offset, out) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let length = place(len)?;
        self.alive()?.change(Change::Resize { length });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.alive()?.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = place(offset)?;
        let mut state = self.alive()?;
        let fits = offset.checked_add(data.len()).is_some_and(|end| end <= state.cached.len());
        if !fits {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Piece::of(offset, data).for_each(|piece| state.change(Change::Write(piece)));
        Ok(())
    }
}

/// SplitMix64: sufficient to choose sectors, and the same on every machine.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let number = self.next() % limit as u64;
        usize::try_from(number).expect("below a number that fits")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(attachment: &Attachment, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        attachment.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_power_loss_loses_what_was_not_synced() {
        let disk = ForgetfulDisk::new();
        let process = disk.attach();
        process.set_len(2).unwrap();
        process.write(0, b"ab").unwrap();
        process.sync_data().unwrap();
        process.write(1, b"c").unwrap();
        process.set_len(4).unwrap();
        assert_eq!(read(&process, 4), b"ac\0\0");
        disk.power_loss();
        assert!(process.len().is_err(), "the attachment no longer works");
        assert_eq!(disk.contents(), b"ab");
        assert_eq!(disk.syncs(), 1);
    }

    #[test]
    fn the_writes_of_a_killed_process_stay() {
        let disk = ForgetfulDisk::new();
        let killed = disk.attach();
        killed.set_len(1).unwrap();
        killed.write(0, b"a").unwrap();
        let next = disk.attach();
        assert!(killed.write(0, b"b").is_err());
        assert_eq!(read(&next, 1), b"a");
    }

    #[test]
    fn torn_writes_keep_whole_sectors_and_the_seed_chooses() {
        let kept = |seed| {
            let disk = ForgetfulDisk::new();
            let process = disk.attach();
            process.set_len(64 * 512).unwrap();
            process.sync_data().unwrap();
            process.write(0, &[1; 64 * 512]).unwrap();
            disk.torn_power_loss(seed);
            let contents = disk.contents();
            let sectors: Vec<bool> = contents.chunks(512).map(|sector| sector[0] == 1).collect();
            for (sector, kept) in contents.chunks(512).zip(&sectors) {
                assert!(sector.iter().all(|byte| *byte == u8::from(*kept)), "a sector is never cut");
            }
            sectors
        };
        let outcomes: Vec<Vec<bool>> = (0..40).map(kept).collect();
        assert_eq!(kept(7), outcomes[7], "the same seed, the same sectors");
        let whole = |wanted: bool| outcomes.iter().any(|kept| kept.iter().all(|kept| *kept == wanted));
        assert!(whole(true) && whole(false));
        let part = outcomes.iter().filter(|kept| kept.contains(&true) && kept.contains(&false)).count();
        assert!(part > 15, "{part} of 40 seeds keep a part");
    }

    #[test]
    fn no_later_sync_saves_what_a_failed_sync_dropped() {
        let disk = ForgetfulDisk::new();
        let process = disk.attach();
        process.set_len(2).unwrap();
        process.sync_data().unwrap();
        disk.fail_sync_after(0);
        process.write(0, b"a").unwrap();
        assert!(process.sync_data().is_err());
        process.write(1, b"b").unwrap();
        process.sync_data().unwrap();
        assert_eq!(read(&process, 2), b"ab", "the cache has it");
        disk.power_loss();
        assert_eq!(disk.contents(), b"\0b");
    }

    #[test]
    fn power_fails_at_the_sync_that_was_named() {
        let disk = ForgetfulDisk::new();
        let process = disk.attach();
        disk.cut_power_after(1);
        process.set_len(1).unwrap();
        process.sync_data().unwrap();
        process.write(0, b"a").unwrap();
        assert!(process.sync_data().is_err());
        assert!(process.len().is_err());
        disk.power_loss();
        assert_eq!(disk.contents(), [0]);
    }

    #[test]
    fn nothing_is_read_or_written_beyond_the_end() {
        let process = ForgetfulDisk::new().attach();
        process.set_len(2).unwrap();
        assert!(process.read(1, &mut [0; 2]).is_err());
        assert!(process.write(1, b"ab").is_err());
        assert!(process.read(u64::MAX, &mut [0; 2]).is_err());
    }
}
