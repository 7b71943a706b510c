//! Free lists for the numbers that kernel tables use: ids, and stretches of the range table.

use std::collections::{BTreeMap, BTreeSet};

/// Hands out numbers from `first` to `limit - 1`, each to one user at a time.
#[derive(Debug)]
pub(crate) struct Ids {
    next: u32,
    limit: u32,
    free: Vec<u32>,
}

impl Ids {
    pub(crate) fn new(first: u32, limit: u32) -> Self {
        Ids { next: first, limit, free: Vec::new() }
    }

    /// As [`Ids::new`], with some numbers in use.
    pub(crate) fn with_used(first: u32, limit: u32, used: &BTreeSet<u32>) -> Self {
        let mut ids = Ids::new(first, limit);
        for id in used.range(first..limit) {
            ids.free.extend(ids.next..*id);
            ids.next = id + 1;
        }
        ids
    }

    pub(crate) fn take(&mut self) -> Option<u32> {
        if let Some(id) = self.free.pop() {
            return Some(id);
        }
        let id = self.next;
        (id < self.limit).then(|| {
            self.next += 1;
            id
        })
    }

    pub(crate) fn give_back(&mut self, id: u32) {
        debug_assert!(id < self.next);
        self.free.push(id);
    }
}

/// Hands out stretches of a table, best fit first, and joins what comes back.
#[derive(Debug)]
pub(crate) struct Stretches {
    by_start: BTreeMap<u32, u32>,
    by_length: BTreeSet<(u32, u32)>,
}

impl Stretches {
    pub(crate) fn new(limit: u32) -> Self {
        let mut new = Stretches { by_start: BTreeMap::new(), by_length: BTreeSet::new() };
        new.insert(0, limit);
        new
    }

    /// As [`Stretches::new`], with some (start, length) in use.
    pub(crate) fn with_used(limit: u32, used: &BTreeMap<u32, u32>) -> Self {
        let mut new = Stretches { by_start: BTreeMap::new(), by_length: BTreeSet::new() };
        let mut at = 0;
        for (start, length) in used {
            if *start > at {
                new.insert(at, start - at);
            }
            at = at.max(start + length);
        }
        if at < limit {
            new.insert(at, limit - at);
        }
        new
    }

    pub(crate) fn take(&mut self, length: u32) -> Option<u32> {
        let (found, start) = *self.by_length.range((length, 0)..).next()?;
        self.remove(start, found);
        if found > length {
            self.insert(start + length, found - length);
        }
        Some(start)
    }

    pub(crate) fn give_back(&mut self, mut start: u32, mut length: u32) {
        if let Some((before, size)) = self.by_start.range(..start).next_back().map(|(s, l)| (*s, *l))
            && before + size == start
        {
            self.remove(before, size);
            start = before;
            length += size;
        }
        if let Some(size) = self.by_start.get(&(start + length)).copied() {
            self.remove(start + length, size);
            length += size;
        }
        self.insert(start, length);
    }

    fn insert(&mut self, start: u32, length: u32) {
        if length > 0 {
            self.by_start.insert(start, length);
            self.by_length.insert((length, start));
        }
    }

    fn remove(&mut self, start: u32, length: u32) {
        self.by_start.remove(&start);
        self.by_length.remove(&(length, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_use_are_not_handed_out() {
        let mut ids = Ids::with_used(2, 7, &BTreeSet::from([0, 3, 5]));
        let mut taken: Vec<u32> = std::iter::from_fn(|| ids.take()).collect();
        taken.sort_unstable();
        assert_eq!(taken, [2, 4, 6]);
        ids.give_back(4);
        assert_eq!(ids.take(), Some(4));
    }

    #[test]
    fn stretches_join_when_they_come_back() {
        let mut stretches = Stretches::new(10);
        let (a, b, c) = (stretches.take(3), stretches.take(3), stretches.take(4));
        assert_eq!((a, b, c), (Some(0), Some(3), Some(6)));
        assert_eq!(stretches.take(1), None);
        stretches.give_back(0, 3);
        stretches.give_back(6, 4);
        stretches.give_back(3, 3);
        assert_eq!(stretches.take(10), Some(0));
    }

    #[test]
    fn best_fit_keeps_large_stretches_whole() {
        let mut stretches = Stretches::with_used(20, &BTreeMap::from([(4, 2)]));
        assert_eq!(stretches.take(4), Some(0));
        assert_eq!(stretches.take(14), Some(6));
        assert_eq!(stretches.take(1), None);
    }
}
