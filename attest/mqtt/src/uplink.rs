//! The device's handle: give it signed messages, read its events, close it. Joins the outbox and the connections.
//! Leaves out: connecting (`lane`) and what counts (`outbox`, `receipts`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use attest::{EvidenceId, Queue, QueueFull, ReceiptError, Signed};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::lane::Lane;
use crate::outbox::Outbox;
use crate::{Checked, Options, OptionsError, Why};

/// Events waiting for the application.
const EVENTS_MAX: usize = 1_024;

/// What happens on the way up and what comes down. Brokers are named by their place in [`Options::brokers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A broker accepted the connection.
    Connected {
        /// Which.
        broker: usize,
        /// Whether it had kept the session.
        session_present: bool,
    },
    /// A connection could not be made or has ended, or (with `again` empty) it stands but not for everything.
    Trouble {
        /// Which broker.
        broker: usize,
        /// Why, and what to look at.
        why: Why,
        /// The pause before the next attempt, which goes to the next broker in turn.
        again: Option<Duration>,
    },
    /// A broker has taken a message (PUBACK): not yet a reason to forget it.
    Taken {
        /// Which broker.
        broker: usize,
        /// The message.
        id: EvidenceId,
    },
    /// A member signed that it holds messages of this device.
    Receipts(Checked),
    /// Receipts that do not count.
    BadReceipts(ReceiptError),
    /// Enough members hold a message: it has left the queue.
    Stored {
        /// The message.
        id: EvidenceId,
    },
    /// A beacon broadcast, for [`attest::TermKeys::beacon`] or [`attest::derive`].
    Beacon(Vec<u8>),
    /// The committee's last rotations, for [`attest::TermKeys::follow`]; only with [`Options::committee`].
    Terms(Vec<u8>),
    /// The lease feed (docs/protocol.md §11): a hint of what to answer, unsigned.
    Lease(Vec<u8>),
    /// Who may use the device (docs/protocol.md §11), to be checked by the device.
    Access(Vec<u8>),
}

/// What the connections are told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Goes up when there may be something to send.
    version: u64,
    /// The uplink is to end.
    pub(crate) closing: bool,
}

/// What the handle and the connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    outbox: Mutex<Outbox>,
    /// Brokers that no connection is on, the next to be tried first.
    free: Mutex<VecDeque<usize>>,
    change: watch::Sender<Change>,
    events: mpsc::Sender<Event>,
    missed: AtomicU64,
    started: Instant,
}

impl Shared {
    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take_broker(&self) -> Option<usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    pub(crate) fn give_back(&self, broker: usize) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(broker);
    }

    /// Milliseconds since the start, by the clock that never jumps.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Never waits: a stuck application must not stop the keep-alive.
    pub(crate) fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn receipted(&self, checked: Checked) {
        let done = self.outbox().receipted(&checked, self.options.receipts_needed);
        self.tell(Event::Receipts(checked));
        for id in done {
            self.tell(Event::Stored { id });
        }
        self.wake();
    }

    fn wake(&self) {
        self.change.send_modify(|change| change.version = change.version.wrapping_add(1));
    }
}

/// What was left when an uplink was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Messages without enough receipts. They are still in the queue's memory: [`Queue::resume`] finds them.
    pub waiting: usize,
}

/// A device's way up. Dropping it ends the connections without a farewell, as a power cut would.
#[derive(Debug)]
pub struct Uplink {
    shared: Arc<Shared>,
    lanes: Vec<JoinHandle<()>>,
}

impl Uplink {
    /// Connects in the background, on the tokio runtime that this is called in. What the queue already holds is sent first.
    ///
    /// # Errors
    /// Settings that cannot work. A broker that is away is not an error: it is tried again for ever.
    pub fn start(options: Options, queue: Queue<'static>) -> Result<(Self, mpsc::Receiver<Event>), OptionsError> {
        options.check()?;
        let patience_ms = u64::try_from(options.patience.as_millis()).unwrap_or(u64::MAX);
        let (change, changes) = watch::channel(Change::default());
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let shared = Arc::new(Shared {
            outbox: Mutex::new(Outbox::new(queue, options.at_once, patience_ms)),
            free: Mutex::new((0..options.brokers.len()).collect()),
            change,
            events,
            missed: AtomicU64::new(0),
            started: Instant::now(),
            options,
        });
        let lane = |number| Lane { number, shared: Arc::clone(&shared), change: changes.clone() };
        let lanes = (0..shared.options.at_once).map(|number| tokio::spawn(lane(number).run())).collect();
        Ok((Self { shared, lanes }, receiver))
    }

    /// Queues a signed message for every broker connected to, now or later. Returns at once.
    ///
    /// # Errors
    /// When the queue's memory is full of messages without receipts; nothing has changed.
    pub fn send(&self, signed: &Signed<'_>) -> Result<(), QueueFull> {
        self.shared.outbox().push(signed)?;
        self.shared.wake();
        Ok(())
    }

    /// As [`Self::send`], giving up the oldest waiting messages for the new one; returns how many.
    ///
    /// # Errors
    /// When the message would not fit an empty queue.
    pub fn send_dropping(&self, signed: &Signed<'_>) -> Result<u32, QueueFull> {
        let dropped = self.shared.outbox().push_dropping(signed)?;
        self.shared.wake();
        Ok(dropped)
    }

    /// Messages without enough receipts.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.outbox().waiting()
    }

    /// Events that were thrown away because the application did not read them (receipts were counted all the same).
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.shared.missed.load(Ordering::Relaxed)
    }

    /// Waits until every message has its receipts, at most for `patience`; then says `offline` and disconnects. Brokers
    /// keep the session.
    pub async fn close(mut self, patience: Duration) -> Left {
        let mut changes = self.shared.change.subscribe();
        let drained = async {
            while self.shared.outbox().waiting() > 0 {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(patience, drained).await;
        self.shared.change.send_modify(|change| change.closing = true);
        for lane in &mut self.lanes {
            let _ = lane.await;
        }
        Left { waiting: self.shared.outbox().waiting() }
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        for lane in &self.lanes {
            lane.abort();
        }
    }
}
