//! What is wrong with an archive, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Something that could not be read or written; the rest of the archive goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}: {advice}", path.display())]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

impl Problem {
    pub(crate) fn new(path: &Path, what: impl fmt::Display, advice: &str) -> Problem {
        Problem { path: path.to_owned(), what: what.to_string(), advice: advice.to_owned() }
    }

    /// A file that doesn't hold what it should.
    pub(crate) fn damaged(path: &Path, what: impl fmt::Display) -> Problem {
        let what = what.to_string();
        let what = what.strip_prefix("Parquet error: ").unwrap_or(&what);
        let advice = "the other files go on; restore this one from a copy, or delete it";
        Problem::new(path, format_args!("can't be read ({what})"), advice)
    }

    /// A file that was put out of the way of those that can be read.
    pub(crate) fn set_aside(dir: &Path, name: &impl fmt::Display) -> Problem {
        Problem::new(
            &dir.join(format!("{name}.damaged")),
            "could not be read when its hour was put together, so its rows are missing",
            "mend it with a Parquet tool and drop the .damaged, or delete it",
        )
    }

    /// A file that could not be written.
    pub(crate) fn unwritten(path: &Path, what: impl fmt::Display) -> Problem {
        Problem::new(path, format_args!("can't be written ({what})"), "make room, or let podgate write here")
    }
}
