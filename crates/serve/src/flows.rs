//! Flows that were seen: filters, pages, streams, stories.

pub mod filters;
