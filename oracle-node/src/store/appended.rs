//! Appends that wait for the disk together: each is written at once, and one wait for the disk serves all that were written
//! before it began. Leaves out: what is written (`evidence`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many appends were written, and how many of them are durable.
#[derive(Debug, Default)]
pub(super) struct Appended {
    written: AtomicU64,
    durable: Mutex<u64>,
}

impl Appended {
    /// An append has been written.
    pub(super) fn count(&self) {
        self.written.fetch_add(1, Ordering::SeqCst);
    }

    /// Returns when every append counted before the call is durable; `sync` makes everything written so far durable.
    pub(super) fn through_now<E>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let needed = self.written.load(Ordering::SeqCst);
        // Those who wait here were written meanwhile, so the next of them waits for the disk on behalf of all.
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if *durable >= needed {
            return Ok(());
        }
        let written = self.written.load(Ordering::SeqCst);
        sync()?;
        *durable = written;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wait_serves_all_before_it_and_none_after_it() {
        let appended = Appended::default();
        let waits = AtomicU64::new(0);
        let wait = || {
            waits.fetch_add(1, Ordering::SeqCst);
            Ok::<(), ()>(())
        };
        appended.through_now(wait).expect("nothing to wait for");
        appended.count();
        appended.count();
        appended.through_now(wait).expect("waited");
        appended.through_now(wait).expect("durable already");
        assert_eq!(waits.load(Ordering::SeqCst), 1);
        // Written while the disk was waited for: not covered by that wait.
        appended.count();
        let overtaken = || {
            appended.count();
            Ok::<(), ()>(())
        };
        appended.through_now(overtaken).expect("waited");
        appended.through_now(wait).expect("waited again");
        assert_eq!(waits.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_disk_that_fails_is_asked_again() {
        let appended = Appended::default();
        appended.count();
        assert_eq!(appended.through_now(|| Err("failed")), Err("failed"));
        let mut asked = false;
        appended
            .through_now(|| {
                asked = true;
                Ok::<(), ()>(())
            })
            .expect("waited");
        assert!(asked);
    }
}
