//! Totals of edges by minute as rows.

use std::sync::{Arc, LazyLock};

use podgate_flow::{Edge, EdgeMinute, Place, Timestamp, Totals};
use rustc_hash::FxHashMap;

use crate::flows::decided_word;
use crate::parts::{Cells, REASON_WIDTH, ReasonsIn, ReasonsOut, object, reason_columns, typed, word};
use crate::table::{Column, Kind, Table};

const PLACE_WIDTH: usize = 7;

pub(crate) const MINUTE: usize = 0;
const NODE: usize = 1;
pub(crate) const POLICY_VERSION: usize = 2;
const PROTOCOL: usize = 3;
const PORT: usize = 4;
const VERDICT: usize = 5;
const SOURCE: usize = 6;
const DESTINATION: usize = SOURCE + PLACE_WIDTH;
const EGRESS: usize = DESTINATION + PLACE_WIDTH;
const INGRESS: usize = EGRESS + REASON_WIDTH;
const TOTALS: usize = INGRESS + REASON_WIDTH;

/// The order of rows in which they take least room: all minutes of an edge together.
pub(crate) const ORDER: [usize; 20] = [
    NODE,
    DESTINATION + 1,
    DESTINATION + 3,
    SOURCE + 1,
    SOURCE + 3,
    PORT,
    PROTOCOL,
    VERDICT,
    SOURCE,
    SOURCE + 2,
    SOURCE + 4,
    SOURCE + 5,
    DESTINATION,
    DESTINATION + 2,
    DESTINATION + 4,
    DESTINATION + 5,
    EGRESS + 3,
    INGRESS + 3,
    POLICY_VERSION,
    MINUTE,
];

/// The columns of totals.
pub(crate) static SCHEMA: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let mut columns = vec![
        Column::required("minute", Kind::Time),
        Column::required("node", Kind::Text),
        Column::optional("policy_version", Kind::Text),
        Column::required("protocol", Kind::Text),
        Column::required("port", Kind::Number(16)),
        Column::required("verdict", Kind::Text),
    ];
    for end in ["source", "destination"] {
        columns.push(Column::required(format!("{end}_kind"), Kind::Text));
        let names = ["namespace", "owner_kind", "owner", "node", "ip", "name"];
        columns.extend(names.map(|name| Column::optional(format!("{end}_{name}"), Kind::Text)));
    }
    columns.extend(["egress", "ingress"].into_iter().flat_map(reason_columns));
    let totals = ["connections", "packets", "bytes", "reply_packets", "reply_bytes"];
    columns.extend(totals.map(|name| Column::required(name, Kind::Number(64))));
    columns
});

/// Turns minutes into rows.
pub(crate) fn rows<M: AsRef<EdgeMinute>>(minutes: &[M]) -> Table {
    let mut table = Table::new(&SCHEMA);
    let mut places = FxHashMap::default();
    let mut reasons = ReasonsIn::default();
    for minute in minutes {
        let minute = minute.as_ref();
        let edge = &*minute.edge;
        table.push_number(MINUTE, (minute.minute.0 / 1000) as i64);
        table.push_text(NODE, Some(&minute.node));
        let version = minute.policy_version;
        let version = (!version.is_unknown()).then(|| version.to_string());
        table.push_text(POLICY_VERSION, version.as_deref());
        table.push_text(PROTOCOL, Some(&edge.protocol.to_string()));
        table.push_number(PORT, i64::from(edge.port));
        table.push_text(VERDICT, Some(decided_word(edge.verdict)));
        for (at, place) in [(SOURCE, &edge.source), (DESTINATION, &edge.destination)] {
            let cells = places.entry((Arc::as_ptr(place) as usize, at));
            let cells = *cells.or_insert_with(|| cells_of_place(&mut table, at, place));
            cells.push(&mut table, at, None);
        }
        reasons.push(&mut table, EGRESS, edge.egress.as_ref());
        reasons.push(&mut table, INGRESS, edge.ingress.as_ref());
        let Totals { connections, packets, bytes, reply_packets, reply_bytes } = minute.totals;
        for (i, total) in [connections, packets, bytes, reply_packets, reply_bytes].into_iter().enumerate() {
            table.push_number(TOTALS + i, total as i64);
        }
    }
    table
}

fn cells_of_place(table: &mut Table, at: usize, place: &Place) -> Cells<PLACE_WIDTH> {
    let ip;
    let texts = match place {
        Place::Workload { namespace, owner } => {
            let (kind, name) = (Some(owner.kind.as_str()), Some(owner.name.as_str()));
            [Some("workload"), Some(namespace.as_str()), kind, name, None, None, None]
        }
        Place::Node { node } => [Some("node"), None, None, None, Some(node.as_str()), None, None],
        Place::Outside { ip: outside, name } => {
            ip = outside.to_string();
            [Some("outside"), None, None, None, None, Some(ip.as_str()), name.as_deref()]
        }
    };
    Cells::of_texts(table, at, texts)
}

/// Turns rows into minutes; equal parts of them are one.
#[derive(Default)]
pub(crate) struct Minutes {
    nodes: FxHashMap<u32, Arc<str>>,
    places: FxHashMap<(usize, Cells<PLACE_WIDTH>), Arc<Place>>,
    edges: FxHashMap<Arc<Edge>, ()>,
    reasons: ReasonsOut,
}

impl Minutes {
    /// The minute in a row of a table; always of the same table.
    pub fn read(&mut self, table: &Table, row: usize) -> Result<EdgeMinute, String> {
        let edge = Edge {
            source: self.place(table, SOURCE, row)?,
            destination: self.place(table, DESTINATION, row)?,
            protocol: table.text(PROTOCOL, row).unwrap_or_default().parse()?,
            port: table.value(PORT, row).unwrap_or_default() as u16,
            verdict: word("verdict", table.text(VERDICT, row))?,
            egress: self.reasons.read(table, EGRESS, row)?,
            ingress: self.reasons.read(table, INGRESS, row)?,
        };
        let edge = match self.edges.get_key_value(&edge) {
            Some((edge, ())) => edge.clone(),
            None => {
                let edge = Arc::new(edge);
                self.edges.insert(edge.clone(), ());
                edge
            }
        };
        let node = table.text_number(NODE, row);
        let name = || Arc::from(table.text(NODE, row).unwrap_or_default());
        let total = |i: usize| table.value(TOTALS + i, row).unwrap_or_default() as u64;
        Ok(EdgeMinute {
            minute: Timestamp(table.value(MINUTE, row).unwrap_or_default() as u64 * 1000),
            node: self.nodes.entry(node).or_insert_with(name).clone(),
            policy_version: match table.text(POLICY_VERSION, row) {
                Some(version) => version.parse()?,
                None => Default::default(),
            },
            edge,
            totals: Totals {
                connections: total(0),
                packets: total(1),
                bytes: total(2),
                reply_packets: total(3),
                reply_bytes: total(4),
            },
        })
    }

    fn place(&mut self, table: &Table, at: usize, row: usize) -> Result<Arc<Place>, String> {
        let cells = Cells::read(table, at, row, None);
        if let Some(place) = self.places.get(&(at, cells)) {
            return Ok(place.clone());
        }
        let text = |i: usize| table.text(at + i, row);
        let mut value = object([
            ("kind", text(0)),
            ("namespace", text(1)),
            ("node", text(4)),
            ("ip", text(5)),
            ("name", text(6)),
        ]);
        if let Some(name) = text(3) {
            value.insert("owner".to_owned(), object([("kind", text(2)), ("name", Some(name))]).into());
        }
        let place: Arc<Place> = Arc::new(typed("place", value.into())?);
        self.places.insert((at, cells), place.clone());
        Ok(place)
    }
}
