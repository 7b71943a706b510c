//! ClickHouse, over HTTP as JSONEachRow: what is sent, and the same questions that the files answer.

use std::hash::Hasher as _;
use std::sync::Arc;

use podgate_flow::{EdgeMinute, FlowRecord, Query, Take, Timestamp};
use rustc_hash::FxHasher;
use ureq::http::Method;

use super::http::{Client, encoded};
use super::{Failure, Secret, Sink};
use crate::directory::Series;
use crate::flows::Records;
use crate::table::Table;
use crate::{edges, flows, lines};

/// The tables, statement by statement.
pub const DDL: &str = include_str!("../../clickhouse.sql");

/// Rows that are asked for at a time.
const PAGE: usize = 20_000;

/// A database of a ClickHouse server.
#[derive(Clone)]
pub struct ClickHouse {
    client: Client,
    url: String,
    database: String,
    user: String,
    password: Secret,
}

impl ClickHouse {
    /// The server's HTTP interface, such as `http://clickhouse:8123`, and a database of it.
    pub fn new(url: &str, database: &str, user: &str, password: Secret) -> ClickHouse {
        let url = url.trim_end_matches('/').to_owned();
        ClickHouse {
            client: Client::new(),
            url,
            database: database.to_owned(),
            user: user.to_owned(),
            password,
        }
    }

    /// Makes the database and its tables, where they are missing.
    pub fn create(&self) -> Result<(), Failure> {
        let database = format!("CREATE DATABASE IF NOT EXISTS {}", quoted(&self.database));
        self.ask("default", &[("query", &database)], b"")?;
        let code: String = DDL.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
        for statement in code.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
            self.ask(&self.database, &[], statement.as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn ask(
        &self,
        database: &str,
        parameters: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let mut url = format!("{}/?database={}", self.url, encoded(database, b""));
        for (name, value) in parameters {
            url.push_str(&format!("&{name}={}", encoded(value, b"")));
        }
        let mut headers = vec![("content-type", "text/plain; charset=utf-8")];
        if !self.user.is_empty() {
            headers.extend([
                ("x-clickhouse-user", self.user.as_str()),
                ("x-clickhouse-key", self.password.0.as_str()),
            ]);
        }
        self.client.send(Method::POST, &url, &headers, body)
    }

    fn insert(&self, series: Series, table: &Table) -> Result<u64, Failure> {
        let rows = lines::write(series.schema(), table);
        // A request whose answer got lost is sent again: the same rows under the same token count once.
        let mut hasher = FxHasher::default();
        hasher.write(&rows);
        let token = format!("{:016x}{:08x}", hasher.finish(), rows.len());
        let query = format!("INSERT INTO {} FORMAT JSONEachRow", series.name());
        let parameters = [
            ("query", query.as_str()),
            ("insert_deduplication_token", &token),
            ("deduplicate_blocks_in_dependent_materialized_views", "1"),
            ("date_time_input_format", "best_effort"),
            ("max_partitions_per_insert_block", "0"),
        ];
        self.ask(&self.database, &parameters, &rows).map(|_| 0)
    }

    /// Records of the past, in order of time: what the files answer, from the database.
    pub fn flows(&self, query: &Query) -> Result<Vec<FlowRecord>, Failure> {
        let (order, beyond) = match query.take {
            Take::Last(_) => ("DESC", "<"),
            Take::All | Take::First(_) => ("ASC", ">"),
        };
        let mut within = vec!["1".to_owned()];
        within.extend(
            query.since.map(|since| format!("time >= {}", sql_time(Timestamp(since.0 / 1000 * 1000)))),
        );
        within.extend(
            query.until.map(|until| format!("time < {}", sql_time(Timestamp(until.0.div_ceil(1000) * 1000)))),
        );
        let mut found: Vec<Arc<FlowRecord>> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let condition = within.iter().chain(&after).cloned().collect::<Vec<_>>().join(" AND ");
            let page = self.page(Series::Flows, &condition, &format!("time {order}, id {order}"))?;
            let mut records = Records::default();
            for row in 0..page.rows() {
                let record = records.read(&page, row).map_err(|error| self.unreadable(&error))?;
                if row + 1 == page.rows() {
                    let time = sql_time(record.time);
                    after = Some(format!("(time, id) {beyond} ({time}, toUUID('{}'))", record.id));
                }
                if query.accepts(&record) {
                    found.push(Arc::new(record));
                }
            }
            let is_enough = match query.take {
                Take::All => false,
                Take::First(count) | Take::Last(count) => found.len() >= count,
            };
            if is_enough || page.rows() < PAGE {
                let found = query.finish(found).into_iter();
                return Ok(found.map(Arc::unwrap_or_clone).collect());
            }
        }
    }

    /// Minutes that overlap the time from `since` on and before `until`, in order of time.
    pub fn edges(&self, since: Timestamp, until: Timestamp) -> Result<Vec<EdgeMinute>, Failure> {
        let condition =
            format!("minute > {} - INTERVAL 1 MINUTE AND minute < {}", sql_time(since), sql_time(until));
        let mut found = Vec::new();
        let mut skip = 0;
        loop {
            let page = self.page(Series::Edges, &condition, &format!("ALL LIMIT {skip}, {PAGE}"))?;
            let mut minutes = edges::Minutes::default();
            for row in 0..page.rows() {
                found.push(minutes.read(&page, row).map_err(|error| self.unreadable(&error))?);
            }
            skip += page.rows();
            if page.rows() < PAGE {
                found.sort_by(|a, b| (a.minute, &a.node, &a.edge).cmp(&(b.minute, &b.node, &b.edge)));
                return Ok(found);
            }
        }
    }

    pub(super) fn page(&self, series: Series, condition: &str, order: &str) -> Result<Table, Failure> {
        let limit = if order.contains(" LIMIT ") { String::new() } else { format!(" LIMIT {PAGE}") };
        let columns: Vec<&str> = series.schema().iter().map(|column| column.name.as_str()).collect();
        let select = format!(
            "SELECT {} FROM {} WHERE {condition} ORDER BY {order}{limit} FORMAT JSONEachRow",
            columns.join(", "),
            series.name()
        );
        let parameters =
            [("output_format_json_quote_64bit_integers", "0"), ("date_time_output_format", "iso")];
        let answer = self.ask(&self.database, &parameters, select.as_bytes())?;
        let text = String::from_utf8(answer).map_err(|_| self.unreadable("bytes that are no text"))?;
        lines::read(series.schema(), &text).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, what: &str) -> Failure {
        Failure::lasting(format!(
            "{} answers what can't be read: {what}; compare its tables with `podgate`'s clickhouse.sql",
            self.url
        ))
    }
}

impl Sink for ClickHouse {
    fn flows(&mut self, records: &[Arc<FlowRecord>]) -> Result<u64, Failure> {
        self.insert(Series::Flows, &flows::rows(records))
    }

    fn edges(&mut self, minutes: &[Arc<EdgeMinute>]) -> Result<u64, Failure> {
        self.insert(Series::Edges, &edges::rows(minutes))
    }
}

fn sql_time(time: Timestamp) -> String {
    // Times beyond what a DateTime64 holds are asked for as "no limit".
    format!("fromUnixTimestamp64Micro({}, 'UTC')", (time.0 / 1000).min(9_000_000_000_000_000))
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}
