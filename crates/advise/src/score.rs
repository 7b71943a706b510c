//! What a replay predicted, against what happened after its policies were enforced.
//!
//! Connections are compared as a replay tells them: between workloads, nodes and the outside, by protocol and port.

use std::collections::BTreeMap;

use podgate_policy::Verdict;
use serde::{Deserialize, Serialize};

use crate::replay::place;
use crate::seen::{Lost, Seen, Tally, Window};

/// A replay that was made earlier, as its JSON says: as much of it as is needed here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prediction {
    window: Option<Window>,
    cut: Vec<Predicted>,
    opened: Vec<Predicted>,
    kept_flows: Vec<PredictedKept>,
    unjudged: Vec<Predicted>,
}

#[derive(Clone, Debug, Deserialize)]
struct Predicted {
    from: String,
    to: String,
    protocol: String,
    port: u16,
    connections: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct PredictedKept {
    from: String,
    to: String,
    protocol: String,
    port: u16,
    connections: u64,
    verdict: Verdict,
}

/// Between whom, on which port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// Who opens connections.
    pub from: String,
    /// Who is reached.
    pub to: String,
    /// The protocol.
    pub protocol: String,
    /// The destination's port; the type of message for ICMP.
    pub port: u16,
}

/// What came of something that was predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All that was tried went as predicted.
    Happened,
    /// Some of it did, some of it went the other way.
    Partly,
    /// All that was tried went the other way.
    Missed,
    /// Nobody tried.
    NotTried,
}

/// One prediction, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Scored {
    /// Which connections.
    pub line: Line,
    /// How many the replay had.
    pub predicted: u64,
    /// How many were denied since.
    pub denied: u64,
    /// How many were let through since.
    pub allowed: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What the replay had said of connections that went otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said {
    /// They would stay as they were.
    Kept,
    /// It could not judge them.
    Unjudged,
    /// Nothing: they were not among its flows.
    NotSeen,
}

/// Something that happened and was not predicted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Surprise {
    /// Which connections.
    pub line: Line,
    /// How many.
    pub connections: u64,
    /// What the replay had said.
    pub said: Said,
}

/// See the module.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// The time of the flows that the replay was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_from: Option<Window>,
    /// The time of the flows since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// How many records there were.
    pub records: u64,
    /// What is missing in them.
    pub lost: Lost,
    /// What would be cut, by the replay.
    pub cut: Vec<Scored>,
    /// What would be opened, by the replay.
    pub opened: Vec<Scored>,
    /// What was cut and was not predicted.
    pub cut_unpredicted: Vec<Surprise>,
    /// What was denied before, let through since, and was not predicted.
    pub opened_unpredicted: Vec<Surprise>,
}

/// What a replay had said of a line, in connections.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    cut: u64,
    opened: u64,
    stays_allowed: u64,
    stays_denied: u64,
    unjudged: u64,
}

/// What happened on a line.
#[derive(Clone, Copy, Debug, Default)]
struct Happened {
    allowed: u64,
    denied: u64,
}

impl Score {
    /// Compares.
    pub fn new(prediction: &Prediction, seen: &Seen) -> Score {
        let mut expected: BTreeMap<Line, Expected> = BTreeMap::new();
        let mut expect = |one: &Predicted, add: fn(&mut Expected, u64)| {
            add(expected.entry(one.line()).or_default(), one.connections);
        };
        prediction.cut.iter().for_each(|one| expect(one, |known, more| known.cut += more));
        prediction.opened.iter().for_each(|one| expect(one, |known, more| known.opened += more));
        prediction.unjudged.iter().for_each(|one| expect(one, |known, more| known.unjudged += more));
        for kept in &prediction.kept_flows {
            let (one, verdict) = kept.split();
            expect(
                &one,
                match verdict {
                    Verdict::Allowed => |known, more| known.stays_allowed += more,
                    Verdict::Denied => |known, more| known.stays_denied += more,
                },
            );
        }
        let mut happened: BTreeMap<Line, Happened> = BTreeMap::new();
        for (key, Tally { allowed, denied, .. }) in &seen.flows {
            let line = Line {
                from: place(key.from.ip, &key.from.party),
                to: place(key.to.ip, &key.to.party),
                protocol: key.protocol.to_string(),
                port: key.port,
            };
            let known = happened.entry(line).or_default();
            known.allowed += allowed;
            known.denied += denied;
        }
        let of = |line: &Line| happened.get(line).copied().unwrap_or_default();
        let scored = |wanted: fn(&Expected) -> u64, outcome: fn(&Expected, Happened) -> Outcome| {
            let lines = expected.iter().filter(|(_, known)| wanted(known) > 0);
            let one = |(line, known): (&Line, &Expected)| {
                let since = of(line);
                Scored {
                    line: line.clone(),
                    predicted: wanted(known),
                    denied: since.denied,
                    allowed: since.allowed,
                    outcome: outcome(known, since),
                }
            };
            lines.map(one).collect()
        };
        let cut = scored(
            |known| known.cut,
            |known, since| outcome(since.denied, since.allowed, known.stays_allowed + known.opened > 0),
        );
        let opened = scored(
            |known| known.opened,
            |known, since| outcome(since.allowed, since.denied, known.stays_denied + known.cut > 0),
        );
        let (mut cut_unpredicted, mut opened_unpredicted) = (Vec::new(), Vec::new());
        for (line, since) in &happened {
            let known = expected.get(line).copied().unwrap_or_default();
            let surprise = |connections, said| Surprise { line: line.clone(), connections, said };
            if since.denied > 0 && known.cut + known.stays_denied == 0 {
                let said = match known {
                    Expected { stays_allowed, opened, .. } if stays_allowed + opened > 0 => Said::Kept,
                    Expected { unjudged: 1.., .. } => Said::Unjudged,
                    _ => Said::NotSeen,
                };
                // What was to be opened and was not is told with what was predicted.
                if known.opened == 0 {
                    cut_unpredicted.push(surprise(since.denied, said));
                }
            }
            if since.allowed > 0 && known.stays_denied > 0 && known.stays_allowed + known.opened == 0 {
                opened_unpredicted.push(surprise(since.allowed, Said::Kept));
            }
        }
        Score {
            predicted_from: prediction.window,
            window: seen.window,
            records: seen.records,
            lost: seen.lost,
            cut,
            opened,
            cut_unpredicted,
            opened_unpredicted,
        }
    }

    /// Whether something that was predicted did not happen, wholly or in part.
    pub fn has_missed(&self) -> bool {
        let is_missed = |one: &Scored| matches!(one.outcome, Outcome::Missed | Outcome::Partly);
        self.cut.iter().chain(&self.opened).any(is_missed)
    }

    /// Whether something happened that was not predicted.
    pub fn has_surprises(&self) -> bool {
        !(self.cut_unpredicted.is_empty() && self.opened_unpredicted.is_empty())
    }
}

/// `mixed`: a part of the line's connections was predicted to go the other way, addresses outside for example, so that
/// what went the other way may be that part.
fn outcome(as_predicted: u64, otherwise: u64, mixed: bool) -> Outcome {
    match (as_predicted, otherwise) {
        (0, 0) => Outcome::NotTried,
        (0, _) if mixed => Outcome::NotTried,
        (0, _) => Outcome::Missed,
        (_, 0) => Outcome::Happened,
        (_, _) if mixed => Outcome::Happened,
        (_, _) => Outcome::Partly,
    }
}

impl Predicted {
    fn line(&self) -> Line {
        let Predicted { from, to, protocol, port, .. } = self.clone();
        Line { from, to, protocol, port }
    }
}

impl PredictedKept {
    fn split(&self) -> (Predicted, Verdict) {
        let PredictedKept { from, to, protocol, port, connections, verdict } = self.clone();
        (Predicted { from, to, protocol, port, connections }, verdict)
    }
}
