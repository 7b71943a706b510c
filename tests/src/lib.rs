//! What the tests of the whole project share.
//!
//! ```text
//! World (naive.rs)   decides by reading the objects again for every question
//! Mirror (mirror.rs) decides from what deltas told it, as a datapath does
//! check (compare.rs) asks World and engine the same questions
//! ```

pub mod compare;
pub mod mirror;
pub mod naive;
