//! The verdict table of one direction.

use smallvec::SmallVec;

use crate::Outcome;
use crate::tables::{ClassId, PortKey, ProgramId, Row};

/// The verdict table that all pods under the same policies share, for one direction.
///
/// A class without a row of its own gets the default row: one for addresses of pods, one for all
/// others. So "any source" and "every pod" cost one row each, however many classes there are.
#[derive(Clone, Debug)]
pub struct Program {
    default_any: Row,
    default_pod: Row,
    /// Rows, shared by classes that the program treats alike.
    pool: SmallVec<[Row; 1]>,
    /// Sorted by class; the number is a place in `pool`.
    rows: SmallVec<[(ClassId, u32); 2]>,
}

/// Finds programs by id. The engine is one; tests have others.
pub trait Programs {
    /// The program, while some pod uses it.
    fn program(&self, id: ProgramId) -> Option<&Program>;
}

impl Program {
    /// A program with the default rows for non-pod and for pod addresses.
    pub fn new(default_any: Row, default_pod: Row) -> Self {
        Program { default_any, default_pod, pool: SmallVec::new(), rows: SmallVec::new() }
    }

    /// The row for classes without one of their own.
    pub fn default_row(&self, pod: bool) -> &Row {
        if pod { &self.default_pod } else { &self.default_any }
    }

    /// The class's own row, if it has one.
    pub fn row(&self, class: ClassId) -> Option<&Row> {
        let at = self.rows.binary_search_by_key(&class, |(c, _)| *c).ok()?;
        Some(&self.pool[self.rows[at].1 as usize])
    }

    /// All classes with a row of their own, in the order of their ids.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (ClassId, &Row)> {
        self.rows.iter().map(|(class, at)| (*class, &self.pool[*at as usize]))
    }

    /// The outcome for an address of this class (`pod`: a pod's address), protocol and port.
    pub fn outcome(&self, class: ClassId, pod: bool, key: PortKey) -> Outcome {
        self.row(class).unwrap_or_else(|| self.default_row(pod)).outcome(key)
    }

    /// Adds a row that classes can share, and returns its place for [`Program::set_row`].
    pub fn add_to_pool(&mut self, row: Row) -> u32 {
        self.pool.push(row);
        (self.pool.len() - 1) as u32
    }

    /// Gives a class a row from the pool. Cheapest in ascending order of classes.
    pub fn set_row(&mut self, class: ClassId, at: u32) {
        match self.rows.last() {
            Some((last, _)) if *last >= class => match self.rows.binary_search_by_key(&class, |(c, _)| *c) {
                Ok(i) => self.rows[i].1 = at,
                Err(i) => self.rows.insert(i, (class, at)),
            },
            _ => self.rows.push((class, at)),
        }
    }

    /// Forgets a class; `true` when it had a row.
    pub fn remove_row(&mut self, class: ClassId) -> bool {
        match self.rows.binary_search_by_key(&class, |(c, _)| *c) {
            Ok(i) => {
                self.rows.remove(i);
                true
            }
            Err(_) => false,
        }
    }
}
