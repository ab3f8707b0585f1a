//! Ctrl-C and SIGTERM: the first one ends a run in good order, the second one at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Exit;

/// Which signals came.
pub struct Signals {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
}

impl Signals {
    pub fn listen() -> io::Result<Self> {
        let came = Arc::new(AtomicBool::new(false));
        let own = |signal: i32, exit: Exit| -> io::Result<Arc<AtomicBool>> {
            // In this order: the second signal finds what the first one has set.
            flag::register_conditional_shutdown(signal, exit as i32, came.clone())?;
            flag::register(signal, came.clone())?;
            let flag = Arc::new(AtomicBool::new(false));
            flag::register(signal, flag.clone())?;
            Ok(flag)
        };
        Ok(Self {
            interrupt: own(SIGINT, Exit::Interrupted)?,
            terminate: own(SIGTERM, Exit::Terminated)?,
        })
    }

    /// How the command is to end, if a signal came.
    pub fn came(&self) -> Option<Exit> {
        if self.interrupt.load(Relaxed) {
            return Some(Exit::Interrupted);
        }
        self.terminate.load(Relaxed).then_some(Exit::Terminated)
    }
}
