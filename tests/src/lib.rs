//! What the tests of the whole project share.
//!
//! ```text
//! World (naive.rs)   decides by reading the objects again for every question
//! Mirror (mirror.rs) decides from what deltas told it, as a datapath does
//! check (compare.rs) asks World and engine the same questions
//! TestLab (lab.rs)   a real cluster, made from manifests (manifests.rs), with traffic (traffic.rs, asking.rs)
//! ```

pub mod asking;
pub mod collector;
pub mod compare;
pub mod kubernetes;
pub mod lab;
pub mod manifests;
pub mod mirror;
pub mod naive;
pub mod nameserver;
pub mod shape;
pub mod traffic;
pub mod watch;
