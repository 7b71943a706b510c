//! The podgate command.

mod commands;
mod input;
mod outcome;
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
