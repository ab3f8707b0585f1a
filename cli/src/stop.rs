//! Ctrl-C and SIGTERM: the first signal stops a run gracefully, the second one ends it at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

use crate::failure::Exit;

/// The signals that have arrived.
#[derive(Clone, Default)]
pub struct Signals {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
}

impl Signals {
    /// Returns the exit code if a signal has arrived.
    pub fn came(&self) -> Option<Exit> {
        if self.interrupt.load(Relaxed) {
            return Some(Exit::Interrupted);
        }
        self.terminate.load(Relaxed).then_some(Exit::Terminated)
    }
}

#[cfg(unix)]
impl Signals {
    pub fn listen() -> io::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::flag;

        let (signals, any) = (Self::default(), Arc::new(AtomicBool::new(false)));
        for (signal, exit, own) in [
            (SIGINT, Exit::Interrupted, &signals.interrupt),
            (SIGTERM, Exit::Terminated, &signals.terminate),
        ] {
            // The order matters: the first signal must not see its own flag, but the second one
            // must.
            flag::register_conditional_shutdown(signal, exit as i32, any.clone())?;
            flag::register(signal, any.clone())?;
            flag::register(signal, own.clone())?;
        }
        Ok(signals)
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Windows runs the handler on its own thread, and supports only Ctrl-C.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        let interrupt = signals.interrupt.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        std::thread::Builder::new().name("ctrl-c".into()).spawn(move || {
            runtime.block_on(async {
                while tokio::signal::ctrl_c().await.is_ok() {
                    if interrupt.swap(true, Relaxed) {
                        std::process::exit(Exit::Interrupted as i32);
                    }
                }
            });
        })?;
        Ok(signals)
    }
}
