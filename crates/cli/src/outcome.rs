//! How a command ends: exit codes are part of the interface.

use std::process::ExitCode;

/// Everything is fine.
pub const FINE: u8 = 0;
/// Something was found, or an expectation failed.
pub const FINDINGS: u8 = 1;
/// Bad usage or bad input, or the machine can't do what was asked for.
pub const BAD: u8 = 2;
/// Ended by Ctrl-C, as shells count it.
pub const INTERRUPTED: u8 = 130;

/// A command's exit code, or why it could not do its work.
pub type Outcome = Result<u8, Failure>;

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// What, where, and what to do next.
    pub message: String,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// A failure for which the user or the machine has to change.
    pub fn bad(message: impl Into<String>) -> Self {
        Failure { message: message.into(), code: BAD }
    }
}

impl From<podgate_lab::Error> for Failure {
    fn from(error: podgate_lab::Error) -> Self {
        let code = match error {
            podgate_lab::Error::Interrupted => INTERRUPTED,
            _ => BAD,
        };
        Failure { message: error.to_string(), code }
    }
}

/// Ends the process: prints a failure, and translates the code.
pub fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            crate::style::error(&failure.message);
            failure.code.into()
        }
    }
}
