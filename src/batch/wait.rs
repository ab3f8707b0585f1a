//! Blocks a thread until the queue of a batch has what it waits for.

use std::time::{Duration, Instant};

use crate::batch::queue::Queue;
use crate::batch::shared::Shared;
use crate::batch::waiters::Waiters;
use crate::delivery::watch;
use crate::error::{Error, Result};

/// The longest wait. Longer timeouts mean forever.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// Why a wait failed.
pub(super) enum Stopped {
    By(Error),
    Cancelled,
    /// The timeout, in milliseconds, expired.
    Late(u128),
}

impl Shared {
    /// Blocks until `look` returns a value. Calls it again after each change.
    pub(super) fn wait<T>(
        &self,
        waiters: impl Fn(&mut Queue) -> &mut Waiters,
        timeout: Option<Duration>,
        mut look: impl FnMut(&mut Queue) -> Result<Option<T>>,
    ) -> Result<T, Stopped> {
        let watch = self.client.watch(timeout.map_or(LONGEST, |timeout| timeout.min(LONGEST)));
        // Only a thread that was among the waiters can have taken a wake-up, which it must then
        // pass on.
        let mut waited = false;
        let outcome = loop {
            let mut until = watch.deadline();
            let released;
            {
                let mut queue = self.lock();
                released = self.expire(&mut queue);
                match look(&mut queue) {
                    Err(error) => break Err(Stopped::By(error)),
                    Ok(Some(found)) => break Ok(found),
                    Ok(None) => {}
                }
                if Instant::now() >= until {
                    break Err(Stopped::Late(timeout.unwrap_or(LONGEST).as_millis()));
                }
                until = queue.next_deadline().map_or(until, |deadline| deadline.min(until));
                waiters(&mut queue).add(watch.parker());
                waited = true;
            }
            drop(released);
            let woken = watch.park(Some(until)).and_then(|wake| {
                if wake == watch::Wake::InvokeCallback {
                    watch.invoke_callback()
                } else {
                    Ok(())
                }
            });
            if woken.is_err() {
                break Err(Stopped::Cancelled);
            }
        };
        if waited {
            let mut queue = self.lock();
            if !waiters(&mut queue).remove(watch.parker()) && outcome.is_err() {
                waiters(&mut queue).wake_one();
            }
        }
        outcome
    }
}
