//! The verdict table of one direction.

use smallvec::SmallVec;

use crate::Outcome;
use crate::tables::{ClassId, Family, Kind, PortKey, ProgramId, Row};

/// The verdict table that all pods under the same policies share, for one direction.
///
/// A class without a row of its own gets the default row of its kind of address: what the program says
/// to an address that answers as most addresses of the kind do. So "any source", "every pod" and "all
/// of 10.0.0.0/8 but a few" cost one row each, however many classes there are.
#[derive(Clone, Debug)]
pub struct Program {
    default_any: Row,
    default_pod: Row,
    /// The default rows of IPv6, where they are others.
    default_v6: Option<Box<[Row; 2]>>,
    /// Rows, shared by classes that the program treats alike.
    pool: SmallVec<[Row; 1]>,
    /// Sorted by class; the number is a place in `pool`.
    rows: SmallVec<[(ClassId, u32); 2]>,
    itself: Option<Box<Itself>>,
}

/// What a program says to connections that its pods make to themselves through a Service.
#[derive(Clone, Debug, Default)]
struct Itself {
    /// For pods whose class has no row here, by family; `None`: allowed.
    defaults: [Option<Row>; 2],
    /// Sorted by class. Complete for classes with a row of their own when there is a default.
    rows: Vec<(ClassId, Row)>,
}

/// Finds programs by id. The engine is one; tests have others.
pub trait Programs {
    /// The program, while some pod uses it.
    fn program(&self, id: ProgramId) -> Option<&Program>;
}

impl Program {
    /// A program with the default rows for non-pod and for pod addresses, of both families.
    pub fn new(default_any: Row, default_pod: Row) -> Self {
        Program {
            default_any,
            default_pod,
            default_v6: None,
            pool: SmallVec::new(),
            rows: SmallVec::new(),
            itself: None,
        }
    }

    /// Gives IPv6 addresses default rows of their own: for non-pod and for pod addresses.
    pub fn set_default_v6(&mut self, any: Row, pod: Row) {
        self.default_v6 = Some(Box::new([any, pod]));
    }

    /// The row for classes without one of their own, by the kind of the address.
    pub fn default_row(&self, kind: Kind) -> &Row {
        match (&self.default_v6, kind) {
            (Some(rows), Kind { pod, family: Family::V6 }) => &rows[usize::from(pod)],
            (_, Kind { pod: true, .. }) => &self.default_pod,
            (_, Kind { pod: false, .. }) => &self.default_any,
        }
    }

    /// The default rows of all kinds of addresses. Equal ones may come more than once.
    pub fn default_rows(&self) -> impl Iterator<Item = &Row> {
        [&self.default_any, &self.default_pod]
            .into_iter()
            .chain(self.default_v6.iter().flat_map(|v6| v6.iter()))
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

    /// The row for an address of this class and kind.
    pub fn row_towards(&self, class: ClassId, kind: Kind) -> &Row {
        self.row(class).unwrap_or_else(|| self.default_row(kind))
    }

    /// The outcome for an address of this class and kind, protocol and port.
    pub fn outcome(&self, class: ClassId, kind: Kind, key: PortKey) -> Outcome {
        self.row_towards(class, kind).outcome(key)
    }

    /// The row for a connection that a pod's address of this class and family makes to itself through a
    /// Service; `None`: allowed.
    pub fn itself(&self, class: ClassId, family: Family) -> Option<&Row> {
        let itself = self.itself.as_deref()?;
        match itself.rows.binary_search_by_key(&class, |(c, _)| *c) {
            Ok(at) => Some(&itself.rows[at].1),
            Err(_) => itself.defaults[family as usize].as_ref(),
        }
    }

    /// What [`Program::itself`] gives to classes that [`Program::rows_of_itself`] doesn't name.
    pub fn default_row_of_itself(&self, family: Family) -> Option<&Row> {
        self.itself.as_deref()?.defaults[family as usize].as_ref()
    }

    /// The rows that [`Program::itself`] has for single classes, in the order of their ids.
    pub fn rows_of_itself(&self) -> impl Iterator<Item = (ClassId, &Row)> {
        self.itself.iter().flat_map(|itself| itself.rows.iter().map(|(class, row)| (*class, row)))
    }

    /// The row that [`Program::itself`] has for this class alone.
    pub fn row_of_itself(&self, class: ClassId) -> Option<&Row> {
        let rows = &self.itself.as_deref()?.rows;
        Some(&rows[rows.binary_search_by_key(&class, |(c, _)| *c).ok()?].1)
    }

    /// Sets what [`Program::itself`] gives to classes that aren't named, before any class is.
    pub fn set_itself(&mut self, family: Family, row: Row) {
        if row.denies() {
            self.itself.get_or_insert_default().defaults[family as usize] = Some(row);
        }
    }

    /// Sets what [`Program::itself`] gives to a class.
    pub fn set_itself_of(&mut self, class: ClassId, row: Row) {
        let has_default =
            self.itself.as_deref().is_some_and(|itself| itself.defaults.iter().any(Option::is_some));
        if !has_default && !row.denies() {
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
