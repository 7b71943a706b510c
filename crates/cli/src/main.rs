//! The podgate command.

mod commands;
mod outcome;
mod render;
mod style;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::run()
}
