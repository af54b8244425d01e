//! Tasks that must run for as long as the node does. A node that no longer takes evidence, hears the members or follows the
//! chain must not look healthy: the end of any such task, by a panic or otherwise, ends the node with an error that names
//! it, and the supervisor starts the node again. Every task of the node is started here.
//! Leaves out: answers to somebody else (the API's requests, members' pulls), where a panic costs the one who asked; and
//! the core's own loop, whose panic ends the process by itself.

use std::fmt::Display;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

/// How long the work may still say why a task ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Starts the node's tasks and notes how they end.
#[derive(Clone, Debug)]
pub struct Duties {
    ended: mpsc::UnboundedSender<anyhow::Error>,
}

/// Learns of the first task that ended.
#[derive(Debug)]
pub struct Ended {
    causes: mpsc::UnboundedReceiver<anyhow::Error>,
}

impl Duties {
    /// No task yet, and who learns of their end.
    #[must_use]
    pub fn new() -> (Self, Ended) {
        let (ended, causes) = mpsc::unbounded_channel();
        (Self { ended }, Ended { causes })
    }

    /// Starts a task that is not to end while the node runs. `what` names it in the error.
    pub fn keep(&self, what: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.keep_trying(what, async move {
            task.await;
            Ok::<_, anyhow::Error>(())
        });
    }

    /// The same of a task that can say why it ended.
    pub fn keep_trying<E>(&self, what: &'static str, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<anyhow::Error> + Send + 'static,
    {
        self.watch(what, tokio::spawn(task), move |outcome| match outcome {
            Ok(()) => Some(anyhow!("{what} has ended by itself, and the node does not go on without it")),
            Err(error) => Some(error.into()),
        });
    }

    /// Runs a piece of work that blocks. It may end, but not by a panic.
    pub fn piece(&self, what: &'static str, work: impl FnOnce() + Send + 'static) {
        self.watch(what, tokio::task::spawn_blocking(work), |()| None);
    }

    fn watch<T: Send + 'static>(
        &self,
        what: &'static str,
        task: JoinHandle<T>,
        judge: impl FnOnce(T) -> Option<anyhow::Error> + Send + 'static,
    ) {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            let cause = match task.await {
                Ok(outcome) => judge(outcome),
                Err(error) => panicked(what, &error),
            };
            // Nobody listens when the node has ended already.
            let _ = cause.map(|cause| ended.send(cause));
        });
    }
}

/// A panic as an error; `None` of a task that was cut off because the node ends.
fn panicked(what: impl Display, error: &JoinError) -> Option<anyhow::Error> {
    error.is_panic().then(|| {
        anyhow!("{what} has panicked, and the node does not go on without it; this is a fault of the program: {error}")
    })
}

/// What a piece of work gave that its task waits for. A panic goes on in that task; `None` when the node ends meanwhile.
pub fn joined<T>(outcome: Result<T, JoinError>) -> Option<T> {
    let error = match outcome {
        Ok(given) => return Some(given),
        Err(error) => error,
    };
    error.try_into_panic().map_or(None, |panic| std::panic::resume_unwind(panic))
}

impl Ended {
    /// Works until a task ends. What the work itself says of it meanwhile or at once comes first: it knows more of the cause
    /// than that a task is gone.
    ///
    /// # Errors
    /// The work's, or why a task ended.
    pub async fn unless(&mut self, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
        tokio::pin!(work);
        let cause = tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            cause = self.first() => cause,
        };
        tokio::time::timeout(LAST_WORDS, work).await.unwrap_or(Err(cause))
    }

    /// Waits for the end of the first task that ends, and tells why it did.
    pub async fn first(&mut self) -> anyhow::Error {
        match self.causes.recv().await {
            Some(cause) => cause,
            // Whoever starts tasks is gone, so none is left to end.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_panics_ends_or_fails_is_named_with_the_cause() {
        let planted = |what| async move { panic!("planted in {what}") };
        let (duties, mut ended) = Duties::new();
        duties.keep("the listener", planted("a task"));
        let cause = ended.first().await.to_string();
        assert!(cause.starts_with("the listener has panicked") && cause.contains("planted in a task"), "{cause}");

        duties.piece("the observation", || panic!("planted in a piece of work"));
        let cause = ended.first().await.to_string();
        assert!(cause.starts_with("the observation has panicked") && cause.contains("planted in a piece"), "{cause}");

        // A task goes down with the piece of work that it waits for.
        duties.keep("the worker", async {
            let piece = tokio::task::spawn_blocking(|| panic!("planted on another thread"));
            joined::<()>(piece.await);
        });
        let cause = ended.first().await.to_string();
        assert!(cause.starts_with("the worker has panicked") && cause.contains("on another thread"), "{cause}");

        duties.keep("the listener", async {});
        assert!(ended.first().await.to_string().starts_with("the listener has ended by itself"));

        duties.keep_trying("the API", async { Err(std::io::Error::other("no port")) });
        let cause = ended.first().await;
        assert!(cause.downcast_ref::<std::io::Error>().is_some() && cause.to_string() == "no port", "{cause:#}");
    }

    #[tokio::test]
    async fn the_work_ends_with_the_task_that_ends_and_the_better_cause_is_told() {
        let (duties, mut ended) = Duties::new();
        duties.keep("the listener", async { panic!("planted") });
        let told = ended.unless(std::future::pending()).await.expect_err("a task is gone").to_string();
        assert!(told.contains("the listener has panicked") && told.contains("planted"), "{told}");

        // The task said why it ends to the work, which is busy at first.
        duties.keep("the worker", async {});
        let work = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Err(anyhow!("the disk is full"))
        };
        assert_eq!(ended.unless(work).await.expect_err("a task is gone").to_string(), "the disk is full");
    }

    #[tokio::test]
    async fn work_that_is_done_ends_nothing() {
        let (duties, mut ended) = Duties::new();
        duties.piece("the observation", || ());
        duties.keep("the listener", std::future::pending());
        let nothing = tokio::time::timeout(Duration::from_millis(200), ended.first()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }
}
