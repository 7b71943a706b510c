//! The page and its HTTP API.
//!
//! ```text
//! Inventory (files | lab | cluster) --\
//! History, archive (flows)           ---> answers (analysis, lint, advise) -> JSON, SSE -> page
//! probes (measured)                 --/
//! ```
//!
//! Everything is read: no request changes a cluster, a lab or a file. Absent on purpose: any verdict logic.

mod flows;
pub mod model;
mod openapi;
mod routes;
pub mod source;

pub use openapi::openapi;
