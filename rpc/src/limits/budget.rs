//! Limits the memory of requests and responses.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of accounting. Requests and responses up to this size are free, because connections
/// limit their number.
pub(crate) const UNIT_BYTES: usize = 64 << 10;

/// A number of bytes that all large requests and responses share.
#[derive(Debug, Clone)]
pub(crate) struct MemoryBudget(Arc<Semaphore>);

/// Bytes reserved from a budget; released when dropped.
#[derive(Debug, Default)]
pub(crate) struct Reservation(Option<OwnedSemaphorePermit>);

impl MemoryBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        MemoryBudget(Arc::new(Semaphore::new((bytes / UNIT_BYTES).max(1))))
    }

    /// Reserves this many bytes, if they are free now.
    pub(crate) fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let mut reservation = Reservation::default();
        self.grow(&mut reservation, bytes).then_some(reservation)
    }

    /// Grows a reservation to `bytes` in all. If too few are free, returns false and leaves it
    /// unchanged.
    pub(crate) fn grow(&self, reservation: &mut Reservation, bytes: usize) -> bool {
        let held = reservation.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        // The first unit is free.
        let missing = (bytes.saturating_sub(1) / UNIT_BYTES).saturating_sub(held);
        if missing == 0 {
            return true;
        }
        let Ok(missing) = u32::try_from(missing) else {
            return false;
        };
        let Ok(permit) = Arc::clone(&self.0).try_acquire_many_owned(missing) else {
            return false;
        };
        match &mut reservation.0 {
            Some(held) => held.merge(permit),
            None => reservation.0 = Some(permit),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reservation_is_released_when_dropped() {
        let budget = MemoryBudget::new(4 * UNIT_BYTES);
        let first = budget.reserve(4 * UNIT_BYTES).unwrap();
        let mut second = budget.reserve(2 * UNIT_BYTES).unwrap();
        assert!(budget.reserve(UNIT_BYTES + 1).is_none(), "three and one units are taken");
        assert!(budget.reserve(UNIT_BYTES).is_some(), "the first unit is free");
        assert!(!budget.grow(&mut second, 3 * UNIT_BYTES));
        drop(first);
        assert!(budget.grow(&mut second, 5 * UNIT_BYTES));
        assert!(budget.reserve(2 * UNIT_BYTES).is_none());
        drop(second);
        assert!(budget.reserve(5 * UNIT_BYTES).is_some());
    }

    #[test]
    fn a_huge_reservation_is_refused() {
        assert!(MemoryBudget::new(1 << 20).reserve(usize::MAX).is_none());
    }
}
