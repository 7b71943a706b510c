//! Seeded clusters: the same seed makes the same objects everywhere.
//!
//! ```text
//! Shape (how many of what)   -> generate()      clusters of any size, for benchmarks
//! antrea_like(), select_all()                   the two sizes that the engine promises times for
//! Tenants                                       a node full of policies, for the datapath
//! applications()                              what teams make, for the page
//! Remote                                        many pods of other nodes, for the engine of an agent
//! served::pod()                                 a pod as an API server sends it, for those who follow one
//! changes()                              single changes to them         , with their way back
//! random_small(seed)                            tiny clusters full of corner cases, for tests
//! random_names(seed)                            what DNS told it
//! random_events(seed, n)                        a life of such a cluster, event by event
//! ```

mod applications;
mod changes;
mod large;
mod remote;
mod rng;
pub mod served;
mod small;
mod tenants;

pub use applications::applications;
pub use changes::{Change, Step, changes};
pub use large::{
    Holes, Shape, antrea_like, antrea_like_of, blocked_of, monitored_of, select_all, select_all_of,
};
pub use remote::Remote;
pub use rng::Rng;
pub use small::{Event, random_events, random_names, random_small};
pub use tenants::Tenants;
