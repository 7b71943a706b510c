//! Flow records as rows.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use podgate_flow::{
    Decision, Endpoint, FlowId, FlowRecord, FlowVerdict, NearMiss, Party, PolicyVersion, ServiceName, Staged,
    TcpFlags, Timestamp,
};
use podgate_policy::Verdict;
use rustc_hash::FxHashMap;

use crate::parts::{Cells, REASON_WIDTH, ReasonsIn, ReasonsOut, json, object, reason_columns, typed, word};
use crate::table::{Column, Kind, Table};

const PARTY_WIDTH: usize = 8;
const END_WIDTH: usize = PARTY_WIDTH + 3;
/// The verdict before the reason, the nearest rule after it.
const DECISION_WIDTH: usize = REASON_WIDTH + 2;

const ID: usize = 0;
pub(crate) const TIME: usize = 1;
const NODE: usize = 2;
const VERDICT: usize = 3;
const PROTOCOL: usize = 4;
const TCP_FLAGS: usize = 5;
const ICMP: usize = 6;
const REPLY: usize = 8;
const CUT: usize = 9;
const SUPPRESSED: usize = 10;
pub(crate) const POLICY_VERSION: usize = 11;
const SOURCE: usize = 12;
const DESTINATION: usize = SOURCE + END_WIDTH;
const ASKED: usize = DESTINATION + END_WIDTH;
const SERVICE: usize = ASKED + 2;
const EGRESS: usize = SERVICE + 3;
const INGRESS: usize = EGRESS + DECISION_WIDTH;
const STAGED: usize = INGRESS + DECISION_WIDTH;

/// The columns of flows.
pub(crate) static SCHEMA: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let required = |name: &str, kind| Column::required(name, kind);
    let optional = |name: &str, kind| Column::optional(name, kind);
    let mut columns = vec![
        required("id", Kind::Id),
        required("time", Kind::Time),
        required("node", Kind::Text),
        required("verdict", Kind::Text),
        required("protocol", Kind::Text),
        optional("tcp_flags", Kind::Text),
        optional("icmp_type", Kind::Number(8)),
        optional("icmp_code", Kind::Number(8)),
        required("reply", Kind::Flag),
        required("cut", Kind::Flag),
        required("suppressed", Kind::Number(64)),
        optional("policy_version", Kind::Text),
    ];
    for end in ["source", "destination"] {
        let column = |name: &str, kind| Column::optional(format!("{end}_{name}"), kind);
        columns.extend([
            Column::required(format!("{end}_ip"), Kind::Text),
            Column::required(format!("{end}_port"), Kind::Number(16)),
            Column::required(format!("{end}_kind"), Kind::Text),
            column("namespace", Kind::Text),
            column("pod", Kind::Text),
            column("owner_kind", Kind::Text),
            column("owner", Kind::Text),
            column("node", Kind::Text),
            column("labels", Kind::Json),
            column("name", Kind::Text),
            column("dns", Kind::Json),
        ]);
    }
    columns.extend([
        optional("asked_ip", Kind::Text),
        optional("asked_port", Kind::Number(16)),
        optional("service_namespace", Kind::Text),
        optional("service", Kind::Text),
        optional("service_port", Kind::Number(16)),
    ]);
    for direction in ["egress", "ingress"] {
        columns.push(Column::optional(format!("{direction}_verdict"), Kind::Text));
        columns.extend(reason_columns(direction));
        columns.push(Column::optional(format!("{direction}_nearest"), Kind::Json));
    }
    columns.extend([optional("staged_verdict", Kind::Text), optional("staged", Kind::Json)]);
    columns
});

/// Turns records into rows. What the records share is looked at once.
pub(crate) fn rows<R: AsRef<FlowRecord>>(records: &[R]) -> Table {
    let mut rows = Rows { table: Table::new(&SCHEMA), ..Rows::default() };
    records.iter().for_each(|record| rows.push(record.as_ref()));
    rows.table
}

/// Numbers of texts by what they were made of; addresses of shared values are valid while the records live.
#[derive(Default)]
struct Rows {
    table: Table,
    nodes: FxHashMap<usize, u32>,
    ips: FxHashMap<(IpAddr, usize), u32>,
    parties: FxHashMap<(usize, usize), Cells<PARTY_WIDTH>>,
    dns: FxHashMap<(usize, usize), u32>,
    reasons: ReasonsIn,
    near: FxHashMap<(usize, usize), u32>,
    version: Option<(PolicyVersion, u32)>,
}

impl Rows {
    fn push(&mut self, record: &FlowRecord) {
        let table = &mut self.table;
        table.push_id(ID, record.id.0);
        table.push_number(TIME, (record.time.0 / 1000) as i64);
        let node = address(&*record.node);
        let node = *self.nodes.entry(node).or_insert_with(|| table.number(NODE, Some(&record.node)));
        table.push_number_of_text(NODE, node);
        table.push_text(VERDICT, Some(verdict_word(record.verdict)));
        table.push_text(PROTOCOL, Some(&record.protocol.to_string()));
        let flags = (!record.tcp_flags.is_empty()).then(|| record.tcp_flags.to_string());
        table.push_text(TCP_FLAGS, flags.as_deref());
        table.push_number(ICMP, record.icmp.map(|(kind, _)| i64::from(kind)));
        table.push_number(ICMP + 1, record.icmp.map(|(_, code)| i64::from(code)));
        table.push_number(REPLY, i64::from(record.reply));
        table.push_number(CUT, i64::from(record.cut));
        table.push_number(SUPPRESSED, record.suppressed as i64);
        let version = match self.version {
            Some((version, number)) if version == record.policy_version => number,
            _ => {
                let version = record.policy_version;
                let text = (!version.is_unknown()).then(|| version.to_string());
                let number = table.number(POLICY_VERSION, text.as_deref());
                self.version = Some((version, number));
                number
            }
        };
        table.push_number_of_text(POLICY_VERSION, version);
        self.push_end(SOURCE, &record.source);
        self.push_end(DESTINATION, &record.destination);
        let asked = record.asked.map(|asked| self.ip(ASKED, asked.ip()));
        let table = &mut self.table;
        table.push_number_of_text(ASKED, asked.unwrap_or(crate::table::NO_TEXT));
        table.push_number(ASKED + 1, record.asked.map(|asked| i64::from(asked.port())));
        let service = record.service.as_deref();
        table.push_text(SERVICE, service.map(|service| service.namespace.as_str()));
        table.push_text(SERVICE + 1, service.map(|service| service.name.as_str()));
        table.push_number(SERVICE + 2, service.map(|service| i64::from(service.port)));
        self.push_decision(EGRESS, record.egress.as_ref());
        self.push_decision(INGRESS, record.ingress.as_ref());
        let table = &mut self.table;
        let staged = record.staged.as_deref();
        table.push_text(STAGED, staged.map(|staged| decided_word(staged.verdict)));
        let staged = staged.and_then(|staged| serde_json::to_string(staged).ok());
        table.push_text(STAGED + 1, staged.as_deref());
    }

    fn ip(&mut self, at: usize, ip: IpAddr) -> u32 {
        let table = &mut self.table;
        *self.ips.entry((ip, at)).or_insert_with(|| table.number(at, Some(&ip.to_string())))
    }

    fn push_end(&mut self, at: usize, end: &Endpoint) {
        let ip = self.ip(at, end.ip);
        let table = &mut self.table;
        table.push_number_of_text(at, ip);
        table.push_number(at + 1, i64::from(end.port));
        let party = self.parties.entry((Arc::as_ptr(&end.party) as usize, at));
        let party = *party.or_insert_with(|| cells_of_party(table, at + 2, &end.party));
        party.push(table, at + 2, None);
        let at = at + 2 + PARTY_WIDTH;
        let dns = end.dns.as_ref().map(|names| {
            let known = self.dns.entry((address(&**names), at));
            *known.or_insert_with(|| {
                let text = serde_json::to_string(&**names).ok();
                table.number(at, text.as_deref())
            })
        });
        table.push_number_of_text(at, dns.unwrap_or(crate::table::NO_TEXT));
    }

    fn push_decision(&mut self, at: usize, decision: Option<&Decision>) {
        let table = &mut self.table;
        table.push_text(at, decision.map(|decision| decided_word(decision.verdict)));
        self.reasons.push(table, at + 1, decision.map(|decision| &decision.reason));
        let at = at + 1 + REASON_WIDTH;
        let near = decision.and_then(|decision| decision.nearest.as_ref()).map(|near| {
            let known = self.near.entry((Arc::as_ptr(near) as usize, at));
            *known.or_insert_with(|| {
                let text = serde_json::to_string(&**near).ok();
                table.number(at, text.as_deref())
            })
        });
        table.push_number_of_text(at, near.unwrap_or(crate::table::NO_TEXT));
    }
}

/// Where a value that is shared lies: two with one address are one.
fn address<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>() as usize
}

pub(crate) fn verdict_word(verdict: FlowVerdict) -> &'static str {
    match verdict {
        FlowVerdict::Allowed => "allowed",
        FlowVerdict::Denied => "denied",
        FlowVerdict::Unknown => "unknown",
    }
}

pub(crate) fn decided_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allowed => "allowed",
        Verdict::Denied => "denied",
    }
}

fn cells_of_party(table: &mut Table, at: usize, party: &Party) -> Cells<PARTY_WIDTH> {
    let texts = match party {
        Party::Pod { namespace, pod, owner, node, labels } => {
            let labels = (!labels.is_empty()).then(|| serde_json::to_string(labels).unwrap_or_default());
            let owner = owner.as_ref();
            let texts = [
                Some("pod"),
                Some(namespace),
                Some(pod),
                owner.map(|owner| owner.kind.as_str()),
                owner.map(|owner| owner.name.as_str()),
                node.as_deref(),
                labels.as_deref(),
                None,
            ];
            return Cells::of_texts(table, at, texts);
        }
        Party::Node { node } => [Some("node"), None, None, None, None, Some(node.as_str()), None, None],
        Party::Outside { name } => [Some("outside"), None, None, None, None, None, None, name.as_deref()],
    };
    Cells::of_texts(table, at, texts)
}

/// Turns rows into records; equal parts of records are one.
#[derive(Default)]
pub(crate) struct Records {
    nodes: FxHashMap<u32, Arc<str>>,
    parties: FxHashMap<(usize, Cells<PARTY_WIDTH>), Arc<Party>>,
    dns: FxHashMap<(usize, u32), Arc<[Box<str>]>>,
    services: FxHashMap<(u32, u32, Option<i64>), Arc<ServiceName>>,
    reasons: ReasonsOut,
    near: FxHashMap<(usize, u32), Arc<NearMiss>>,
}

impl Records {
    /// The record in a row of a table; always of the same table.
    pub fn read(&mut self, table: &Table, row: usize) -> Result<FlowRecord, String> {
        let id = FlowId(table.id(ID, row));
        let micros = table.value(TIME, row).unwrap_or_default() as u64;
        // The column has microseconds; ids of our own begin with the time in nanoseconds.
        let nanos = (id.0 >> 64) as u64;
        let time = if nanos / 1000 == micros { nanos } else { micros * 1000 };
        let node = match self.nodes.get(&table.text_number(NODE, row)) {
            Some(node) => node.clone(),
            None => {
                let node: Arc<str> = table.text(NODE, row).unwrap_or_default().into();
                self.nodes.insert(table.text_number(NODE, row), node.clone());
                node
            }
        };
        let verdict = match table.text(VERDICT, row) {
            Some("allowed") => FlowVerdict::Allowed,
            Some("denied") => FlowVerdict::Denied,
            Some("unknown") => FlowVerdict::Unknown,
            other => word("verdict", other)?,
        };
        let protocol = table.text(PROTOCOL, row).unwrap_or_default().parse()?;
        let source = self.end(table, SOURCE, row)?;
        let destination = self.end(table, DESTINATION, row)?;
        let mut record = FlowRecord::new(Timestamp(time), node, verdict, protocol, source, destination);
        record.id = id;
        record.tcp_flags = match table.text(TCP_FLAGS, row) {
            Some(flags) => flags.parse()?,
            None => TcpFlags::default(),
        };
        let byte = |column| table.value(column, row).map(|value| value as u8);
        record.icmp = byte(ICMP).zip(byte(ICMP + 1));
        record.reply = table.value(REPLY, row) == Some(1);
        record.cut = table.value(CUT, row) == Some(1);
        record.suppressed = table.value(SUPPRESSED, row).unwrap_or_default() as u64;
        if let Some(version) = table.text(POLICY_VERSION, row) {
            record.policy_version = version.parse()?;
        }
        if let Some(ip) = table.text(ASKED, row) {
            let port = table.value(ASKED + 1, row).unwrap_or_default() as u16;
            record.asked = Some(SocketAddr::new(address_of(ip)?, port));
        }
        record.service = self.service(table, row);
        record.egress = self.decision(table, EGRESS, row)?;
        record.ingress = self.decision(table, INGRESS, row)?;
        record.staged = table.text(STAGED + 1, row).map(json::<Box<Staged>>).transpose()?;
        Ok(record)
    }

    fn end(&mut self, table: &Table, at: usize, row: usize) -> Result<Endpoint, String> {
        let ip = address_of(table.text(at, row).unwrap_or_default())?;
        let port = table.value(at + 1, row).unwrap_or_default() as u16;
        let cells = Cells::read(table, at + 2, row, None);
        let party = match self.parties.get(&(at, cells)) {
            Some(party) => party.clone(),
            None => {
                let party = Arc::new(party(table, at + 2, row)?);
                self.parties.insert((at, cells), party.clone());
                party
            }
        };
        let mut end = Endpoint::new(ip, port, party);
        let at = at + 2 + PARTY_WIDTH;
        if let Some(text) = table.text(at, row) {
            let number = table.text_number(at, row);
            end.dns = Some(match self.dns.get(&(at, number)) {
                Some(names) => names.clone(),
                None => {
                    let names: Arc<[Box<str>]> = json::<Vec<Box<str>>>(text)?.into();
                    self.dns.insert((at, number), names.clone());
                    names
                }
            });
        }
        Ok(end)
    }

    fn service(&mut self, table: &Table, row: usize) -> Option<Arc<ServiceName>> {
        let (namespace, name) = (table.text(SERVICE, row)?, table.text(SERVICE + 1, row)?);
        let port = table.value(SERVICE + 2, row);
        let key = (table.text_number(SERVICE, row), table.text_number(SERVICE + 1, row), port);
        let make = || {
            let port = port.unwrap_or_default() as u16;
            Arc::new(ServiceName { namespace: namespace.to_owned(), name: name.to_owned(), port })
        };
        Some(self.services.entry(key).or_insert_with(make).clone())
    }

    fn decision(&mut self, table: &Table, at: usize, row: usize) -> Result<Option<Decision>, String> {
        let Some(reason) = self.reasons.read(table, at + 1, row)? else { return Ok(None) };
        let verdict = match table.text(at, row) {
            Some("allowed") => Verdict::Allowed,
            Some("denied") => Verdict::Denied,
            other => word("verdict", other)?,
        };
        let mut decision = Decision::new(verdict, reason);
        let at = at + 1 + REASON_WIDTH;
        if let Some(text) = table.text(at, row) {
            let number = table.text_number(at, row);
            decision.nearest = Some(match self.near.get(&(at, number)) {
                Some(near) => near.clone(),
                None => {
                    let near: Arc<NearMiss> = Arc::new(json(text)?);
                    self.near.insert((at, number), near.clone());
                    near
                }
            });
        }
        Ok(Some(decision))
    }
}

fn address_of(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no address"))
}

fn party(table: &Table, at: usize, row: usize) -> Result<Party, String> {
    let text = |i: usize| table.text(at + i, row);
    let mut value = object([
        ("kind", text(0)),
        ("namespace", text(1)),
        ("pod", text(2)),
        ("node", text(5)),
        ("name", text(7)),
    ]);
    if let Some(name) = text(4) {
        value.insert("owner".to_owned(), object([("kind", text(3)), ("name", Some(name))]).into());
    }
    if let Some(labels) = text(6) {
        value.insert("labels".to_owned(), json(labels)?);
    }
    typed("party", value.into())
}
