//! Work on many items at once, on all processors where that pays.

use rayon::prelude::*;

/// Below this many items, threads cost more than they save.
pub(crate) const PARALLEL: usize = 2_000;

/// What `make` makes of each item, in order, on all processors where that pays.
pub(crate) fn map<T: Sync, U: Send>(items: &[T], make: impl Fn(&T) -> U + Sync + Send) -> Vec<U> {
    if items.len() < PARALLEL {
        items.iter().map(make).collect()
    } else {
        items.par_iter().map(make).collect()
    }
}
