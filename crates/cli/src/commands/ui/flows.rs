//! The flows that the page shows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use podgate_flow::{FlowId, FlowRecord, History, Limits, Losses, Timestamp};
use podgate_hubble::client::{Address, Tls};
use podgate_hubble::proto::podgate::v1::GetRecordsRequest;
use podgate_hubble::proto::relay::{NodeState, NodeStatusEvent};
use podgate_hubble::{Heard, ReadError, Server, read_lines};
use podgate_serve::Source;
use podgate_serve::source::watch;

use crate::input::flows::server::TlsArguments;
use crate::outcome::Failure;
use crate::style;

/// Records in memory: 400 bytes each.
const RECORDS: usize = 500_000;
/// How long they stay.
const AGE: Duration = Duration::from_secs(24 * 3600);
/// Records of files stay whatever their age.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// A server that is away is asked again after so long.
const AGAIN: Duration = Duration::from_secs(5);
/// How long it may take to connect.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where flows come from; nowhere by default.
#[derive(Debug, Args)]
pub struct FlowSource {
    /// Follow the flows of a server: `unix:///path`, `host:port` or `tls://host:port`; an agent, a lab, a relay, or any
    /// server of the Hubble API.
    #[arg(long, value_name = "ADDRESS", help_heading = "Flows", conflicts_with = "input_file")]
    server: Option<Address>,
    /// Flows of an archive: the directory in which an agent or a lab keeps them.
    #[arg(long, value_name = "DIR", help_heading = "Flows")]
    flows: Option<PathBuf>,
    /// Flows of a file: what `podgate observe -o record`, `-o jsonpb` or `hubble observe -o jsonpb` wrote; `-` for
    /// standard input. May be given several times.
    #[arg(long, value_name = "PATH", help_heading = "Flows")]
    input_file: Vec<PathBuf>,
    #[command(flatten)]
    tls: TlsArguments,
}

impl FlowSource {
    /// Gives flows to the page.
    pub fn feed(&self, source: &mut Source) -> Result<(), Failure> {
        if let Some(dir) = &self.flows {
            podgate_archive::Reader::open(dir)
                .map_err(|problem| Failure::bad(format!("--flows: {problem}")))?;
            source.archive = Some(dir.clone());
        }
        if !self.input_file.is_empty() {
            source.history = Some(Arc::new(self.of_files()?));
        }
        if let Some(address) = &self.server {
            let tls = self.tls.config(matches!(address, Address::Tcp { tls: true, .. }))?;
            follow(source, address.clone(), tls)?;
        }
        Ok(())
    }

    fn of_files(&self) -> Result<History, Failure> {
        let mut records = Vec::new();
        let mut losses = Missing::default();
        for path in &self.input_file {
            let is_stdin = path == Path::new("-");
            let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
            let failed =
                |error: &dyn std::fmt::Display| Failure::bad(format!("read flows from {name}: {error}"));
            let take = |heard| {
                match heard {
                    Heard::Record(record) => records.push(*record),
                    Heard::Losses(more) => losses.add(&more),
                    Heard::Nodes(_) => {}
                }
                true
            };
            let read = match is_stdin {
                true => read_lines(std::io::stdin().lock(), take),
                false => read_lines(BufReader::new(File::open(path).map_err(|error| failed(&error))?), take),
            };
            if let Some(line) = read.map_err(|error| failed(&error))? {
                style::warning(&format!("{name}:{line}: the last line is not whole and is left out"));
            }
        }
        if records.is_empty() {
            let message = "--input-file: no flow in it: `podgate observe --all -o record > FILE` writes some";
            return Err(Failure::bad(message));
        }
        records.sort_by_key(|record| (record.time, record.id));
        let history = History::new(Limits { records: records.len(), age: FOR_EVER, ..Limits::default() });
        let named = records.into_iter().enumerate().map(|(number, record)| Arc::new(with_id(record, number)));
        history.push(now(), named);
        history.set_losses(losses.0);
        Ok(history)
    }
}

/// Has the page show the flows of a server, those that it has and those to come.
pub fn follow(source: &mut Source, address: Address, tls: Option<Tls>) -> Result<(), Failure> {
    let history = Arc::new(History::new(Limits { records: RECORDS, age: AGE, ..Limits::default() }));
    // What is misspelt is said at once.
    let server = connect(&address, tls.as_ref()).map_err(|error| Failure::bad(error.to_string()))?;
    let (trouble, told) = watch::channel(None);
    source.history = Some(history.clone());
    source.flows_trouble = Some(told);
    let follower =
        Follower { address, tls, history, trouble, losses: Missing::default(), away: BTreeMap::new() };
    std::thread::spawn(move || follower.run(server));
    Ok(())
}

/// Some writers give their flows no ids, and the page asks for flows by them.
fn with_id(mut record: FlowRecord, number: usize) -> FlowRecord {
    if record.id.is_unset() {
        record.id = FlowId(u128::from(record.time.0) << 64 | (number as u128 + 1));
    }
    record
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_nanos() as u64)
}

fn connect(address: &Address, tls: Option<&Tls>) -> Result<Server, ReadError> {
    Server::connect(address.clone(), tls, PATIENCE)
}

/// What is missing so far.
#[derive(Clone, Copy, Default)]
struct Missing(Losses);

impl Missing {
    fn add(&mut self, more: &podgate_hubble::proto::podgate::v1::Losses) {
        if more.since_start {
            self.0 = Losses::default();
        }
        self.0.kernel += more.kernel;
        self.0.suppressed += more.suppressed;
        self.0.disk += more.disk;
        // What this reader was too slow for is lost on its way out, like an export.
        self.0.export += more.export + more.reader;
        self.0.nodes += more.nodes;
    }
}

/// Hears what a server has and what comes, and asks again when it went away.
struct Follower {
    address: Address,
    tls: Option<Tls>,
    history: Arc<History>,
    trouble: watch::Sender<Option<String>>,
    losses: Missing,
    /// Nodes that the server, a relay, can't hear now, and why.
    away: BTreeMap<String, String>,
}

impl Follower {
    fn run(mut self, first: Server) {
        let mut server = Some(first);
        let mut newest: Option<Timestamp> = None;
        let mut number = 0;
        let mut is_away = false;
        loop {
            let ended = match server.take().map_or_else(|| connect(&self.address, self.tls.as_ref()), Ok) {
                Ok(server) => self.follow(&server, &mut newest, &mut number, &mut is_away),
                Err(error) => Err(error),
            };
            let why = match ended {
                Ok(()) => "it ended the answer".to_owned(),
                // The command ends as well.
                Err(ReadError::Interrupted) => return,
                Err(error) => error.to_string(),
            };
            if !is_away {
                style::warning(&format!(
                    "flows of {}: {why}; asking again every {} s",
                    self.address,
                    AGAIN.as_secs()
                ));
            }
            is_away = true;
            // Who of its nodes is away, it tells anew when it is back.
            self.away.clear();
            self.trouble.send_replace(Some(why));
            std::thread::sleep(AGAIN);
        }
    }

    fn follow(
        &mut self,
        server: &Server,
        newest: &mut Option<Timestamp>,
        number: &mut usize,
        is_away: &mut bool,
    ) -> Result<(), ReadError> {
        let since = newest.map(|newest| podgate_hubble::proto::Timestamp {
            seconds: (newest.0 / 1_000_000_000) as i64,
            nanos: (newest.0 % 1_000_000_000) as i32,
        });
        // Without a time: everything that the server has.
        let number_asked = if since.is_none() { RECORDS as u64 } else { 0 };
        let request =
            GetRecordsRequest { follow: true, since, number: number_asked, ..GetRecordsRequest::default() };
        let known = *newest;
        server.read(request, |heard| {
            if *is_away {
                style::note(&format!("flows of {} come again", self.address));
                *is_away = false;
                self.trouble.send_replace(None);
            }
            match heard {
                // The last before the server went away is told again.
                Heard::Record(record) if known.is_some_and(|known| record.time <= known) => {}
                Heard::Record(record) => {
                    *newest = (*newest).max(Some(record.time));
                    *number += 1;
                    self.history.push(now(), [Arc::new(with_id(*record, *number))]);
                }
                Heard::Losses(more) => {
                    self.losses.add(&more);
                    self.history.set_losses(self.losses.0);
                }
                Heard::Nodes(status) => {
                    note_nodes(&mut self.away, &status);
                    self.trouble.send_replace(told(&self.away));
                }
            }
            true
        })
    }
}

/// Notes which nodes a relay says that it can't hear, or hears again.
fn note_nodes(away: &mut BTreeMap<String, String>, status: &NodeStatusEvent) {
    for name in &status.node_names {
        match status.state_change() {
            NodeState::NodeUnavailable | NodeState::NodeError => {
                away.insert(name.clone(), status.message.clone());
            }
            NodeState::NodeConnected | NodeState::NodeGone => {
                away.remove(name);
            }
            NodeState::UnknownNodeState => {}
        }
    }
}

/// Nodes that are away, in a sentence's words; `None`: none is.
fn told(away: &BTreeMap<String, String>) -> Option<String> {
    let nodes = away.iter().map(|(name, why)| match why.as_str() {
        "" => name.clone(),
        // Reasons begin with the address that nodes without a name go by.
        why => format!("{name} ({})", why.strip_prefix(&format!("{name}: ")).unwrap_or(why)),
    });
    let nodes: Vec<String> = nodes.collect();
    (!nodes.is_empty()).then(|| format!("the relay can't hear {}", nodes.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_are_away_are_named_until_they_are_heard_or_gone() {
        let mut away = BTreeMap::new();
        let mut hear = |state: NodeState, names: &[&str], why: &str| {
            let node_names = names.iter().map(ToString::to_string).collect();
            let status = NodeStatusEvent { state_change: state.into(), node_names, message: why.to_owned() };
            note_nodes(&mut away, &status);
            told(&away)
        };
        assert_eq!(hear(NodeState::NodeConnected, &["a", "b"], ""), None);
        let told = hear(NodeState::NodeUnavailable, &["b"], "Connection refused");
        assert_eq!(told.as_deref(), Some("the relay can't hear b (Connection refused)"));
        let told = hear(NodeState::NodeError, &["a"], "");
        assert_eq!(told.as_deref(), Some("the relay can't hear a, b (Connection refused)"));
        assert!(hear(NodeState::NodeConnected, &["b"], "").is_some_and(|told| told.ends_with("hear a")));
        assert_eq!(hear(NodeState::NodeGone, &["a"], ""), None);
    }
}
