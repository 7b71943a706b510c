//! The page and its HTTP API.
//!
//! ```text
//! Inventory (files | lab | cluster) --\
//! History, archive (flows)           ---> answers (analysis, lint, advise) -> JSON, SSE -> page
//! probes (measured)                 --/
//! ```
//!
//! Everything is read: no request changes a cluster, a lab or a file. Absent on purpose: any verdict logic.

mod access;
mod ask;
mod assets;
mod complete;
mod compression;
mod events;
mod fault;
mod findings;
mod flows;
mod map;
mod matrix;
pub mod model;
mod openapi;
mod places;
mod policies;
mod posture;
mod recommend;
mod routes;
mod server;
pub mod source;
mod state;
mod status;
mod table;
mod what_if;
mod why;

pub use access::{Access, Clients, Identity, Tls};
pub use openapi::openapi;
pub use server::{Serving, start};
pub use source::{Inventory, Probes, Source, Try};
