//! `podgate man`: manual pages.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::outcome::{FINE, Failure, Outcome};

/// Print the manual page, or write one for each command into a directory.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where to write `podgate.1`, `podgate-check.1` and so on; made if it is not there.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let Some(dir) = &arguments.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(super::command())
            .render(&mut page)
            .map_err(|error| Failure::bad(format!("make the manual page: {error}")))?;
        crate::output::raw(&page)?;
        return Ok(FINE);
    };
    fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(super::command(), dir))
        .map_err(|error| Failure::bad(format!("write manual pages into {}: {error}", dir.display())))?;
    Ok(FINE)
}
