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
    itself: Option<Box<Itself>>,
}

/// What a program says to connections that its pods make to themselves through a Service.
#[derive(Clone, Debug, Default)]
struct Itself {
    /// For pods whose class has no row here; `None`: allowed.
    default: Option<Row>,
    /// Sorted by class. Complete for classes with a row of their own when there is a default.
    rows: Vec<(ClassId, Row)>,
}

/// Finds programs by id. The engine is one; tests have others.
pub trait Programs {
    /// The program, while some pod uses it.
    fn program(&self, id: ProgramId) -> Option<&Program>;
}

impl Program {
    /// A program with the default rows for non-pod and for pod addresses.
    pub fn new(default_any: Row, default_pod: Row) -> Self {
        Program { default_any, default_pod, pool: SmallVec::new(), rows: SmallVec::new(), itself: None }
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

    /// The row for a connection that a pod of this class makes to itself through a Service; `None`: allowed.
    pub fn itself(&self, class: ClassId) -> Option<&Row> {
        let itself = self.itself.as_deref()?;
        match itself.rows.binary_search_by_key(&class, |(c, _)| *c) {
            Ok(at) => Some(&itself.rows[at].1),
            Err(_) => itself.default.as_ref(),
        }
    }

    /// All rows that [`Program::itself`] can give: the one for classes that aren't named first.
    pub fn rows_of_itself(&self) -> impl Iterator<Item = (Option<ClassId>, &Row)> {
        let itself = self.itself.iter();
        itself.flat_map(|itself| {
            let default = itself.default.iter().map(|row| (None, row));
            default.chain(itself.rows.iter().map(|(class, row)| (Some(*class), row)))
        })
    }

    /// Sets what [`Program::itself`] gives to classes that aren't named, before any class is.
    pub fn set_itself(&mut self, row: Row) {
        if row.denies() {
            self.itself.get_or_insert_default().default = Some(row);
        }
    }

    /// Sets what [`Program::itself`] gives to a class.
    pub fn set_itself_of(&mut self, class: ClassId, row: Row) {
        let same_as_default = self.itself.as_deref().is_none_or(|itself| itself.default.is_none());
        if same_as_default && !row.denies() {
            return;
        }
        let rows = &mut self.itself.get_or_insert_default().rows;
        match rows.binary_search_by_key(&class, |(c, _)| *c) {
            Ok(at) => rows[at].1 = row,
            Err(at) => rows.insert(at, (class, row)),
        }
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
        if let Some(itself) = &mut self.itself {
            itself.rows.retain(|(known, _)| *known != class);
        }
        match self.rows.binary_search_by_key(&class, |(c, _)| *c) {
            Ok(i) => {
                self.rows.remove(i);
                true
            }
            Err(_) => false,
        }
    }
}
