//! Publication, the same for all backends: from deltas to tables of which each packet sees one state.
//!
//! ```text
//! Delta --publisher--> Store (a backend's tables)
//!           | tables: rows, programs and classes in use   | words: what an address says
//!           | alloc: ids and stretches                    | grace: when no packet sees the old state
//! ```

mod alloc;
pub(crate) mod grace;
pub(crate) mod layout;
#[cfg(test)]
mod model;
pub(crate) mod publisher;
pub(crate) mod store;
mod tables;
pub(crate) mod words;
