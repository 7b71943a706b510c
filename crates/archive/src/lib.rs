//! Days of flows on the disk, in files that other tools read as they are.
//!
//! ```text
//! FlowRecord, EdgeMinute -> queue -> Archive -> a part each 2 s -> one segment an hour -> caps
//!                                                  (all of them Parquet: Reader, DuckDB, pandas)
//! ```
//!
//! Absent on purpose: verdicts, and anything that keeps the caller waiting for the disk.

mod archive;
mod directory;
mod edges;
#[cfg(feature = "export")]
pub mod export;
#[cfg(test)]
mod fixture;
mod flows;
#[cfg(feature = "export")]
mod lines;
mod manifest;
mod parts;
mod policies;
mod problem;
#[cfg(test)]
mod python;
mod reader;
mod recent;
mod segment;
mod store;
mod table;

pub use archive::{Archive, Caps, State};
pub use manifest::manifest;
pub use problem::Problem;
pub use reader::{Found, Reader};
pub use recent::{Newest, Recent};
