//! The mailbox: everything that happens outside the loop comes in here, as a mail.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// What can be in the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mail {
    /// The enumerator has something to hand over.
    Enumerator,
    /// The reader of this index has something to say.
    Reader(usize),
    /// The user said something.
    User,
}

/// How the user wants the job to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Savepoint,
    Now,
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    mails: VecDeque<Mail>,
    stop: Option<Stop>,
    /// Wakes the loop.
    host: Option<Waker>,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From any thread. Two equal mails are one: a wake-up says only that it is worth looking.
    fn put(&self, mail: Mail) {
        let host = {
            let mut content = self.lock();
            if !content.mails.contains(&mail) {
                content.mails.push_back(mail);
            }
            content.host.take()
        };
        host.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn take(&self) -> Option<Mail> {
        self.lock().mails.pop_front()
    }

    /// Ready when there is mail. A mail that comes later wakes the caller.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut content = self.lock();
        if content.mails.is_empty() {
            content.host = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// What the user asked for. Stays, so that a restart does not forget it.
    pub(crate) fn stop(&self) -> Option<Stop> {
        self.lock().stop
    }

    /// A waker that becomes a mail.
    pub(crate) fn waker(self: &Arc<Self>, mail: Mail) -> Waker {
        Waker::from(Arc::new(Bell { mailbox: self.clone(), mail }))
    }
}

struct Bell {
    mailbox: Arc<Mailbox>,
    mail: Mail,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.mailbox.put(self.mail);
    }
}

/// Stops a running job, from any thread. A request stays: a job that is started with it stops at once.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(pub(crate) Arc<Mailbox>);

impl StopFlag {
    /// Nothing is asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a savepoint, commits it, and ends.
    pub fn stop_with_savepoint(&self) {
        self.stop(Stop::Savepoint);
    }

    /// Ends as soon as the step that runs is done. The next run goes on from the last checkpoint.
    pub fn stop_now(&self) {
        self.stop(Stop::Now);
    }

    fn stop(&self, how: Stop) {
        self.0.lock().stop = Some(how);
        self.0.put(Mail::User);
    }
}

/// Lets everything else on this thread have a turn: the connectors' own tasks run there, too.
pub(crate) async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
