//! Ctrl-C and SIGTERM while a lab is being made: work stops at the next step and is undone.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM only ask for an end, see [`requested`].
///
/// # Errors
/// When the signals can't be caught.
pub fn catch() -> Result<()> {
    ctrlc::set_handler(|| REQUESTED.store(true, Ordering::Relaxed))
        .map_err(|error| Error::message(format!("catch Ctrl-C: {error}")))
}

/// Whether an end was asked for.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}

/// # Errors
/// [`Error::Interrupted`] when an end was asked for.
pub(crate) fn check() -> Result<()> {
    if requested() { Err(Error::Interrupted) } else { Ok(()) }
}
