//! Signals that stop the process.

use std::io;
use std::time::Duration;

use rustix::process::Signal as SignalNumber;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Listens for SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal is closed) from its creation on.
///
/// SIGHUP stays ignored if the process was started that way, as `nohup` does.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
    /// Its default action ends the process without a message. With a handler, a write beyond
    /// `ulimit -f` fails instead.
    _file_size: Signal,
}

impl StopSignals {
    /// Takes over the signals. Must be called inside an asynchronous runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        let is_hangup_ignored = std::fs::read_to_string("/proc/self/status")
            .is_ok_and(|status| is_ignored(&status, SignalNumber::HUP.as_raw()));
        let hangup = (!is_hangup_ignored).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
            _file_size: signal(SignalKind::from_raw(SignalNumber::XFSZ.as_raw()))?,
        })
    }

    /// Waits for any of them; returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hangup => "SIGHUP",
        }
    }

    /// Waits for a signal that arrives after this much time. Earlier ones are repetitions: a
    /// terminal and a supervisor can both forward the same signal.
    pub(crate) async fn next_after(&mut self, time: Duration) -> &'static str {
        let start = Instant::now();
        loop {
            let signal = self.next().await;
            if start.elapsed() >= time {
                return signal;
            }
        }
    }
}

/// Whether `/proc/PID/status` shows that a process ignores a signal.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Bit 0 of the mask is signal 1.
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_shows_which_signals_are_ignored() {
        let status = |mask: &str| format!("Name:\tquorate\nSigBlk:\t0000000000000000\nSigIgn:\t{mask}\n");
        let (hangup, pipe) = (1, 13);
        assert!(is_ignored(&status("0000000000001001"), hangup));
        assert!(!is_ignored(&status("0000000000001000"), hangup));
        assert!(is_ignored(&status("0000000000001000"), pipe));
        assert!(!is_ignored("", hangup) && !is_ignored(&status("none"), hangup));
    }
}
