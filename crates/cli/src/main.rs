//! The podgate command.

mod commands;
#[allow(dead_code, reason = "the commands that read manifests are being built on it")]
mod input;
mod outcome;
#[allow(dead_code, reason = "the commands that answer as data are being built on it")]
mod output;
mod plugin;
mod progress;
mod render;
mod style;

use std::process::ExitCode;

/// The engine makes many small lists: see docs/decisions/0006-allocator.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run()
}
