//! What a probe found, as data: renderers turn it into tables, JSON and JUnit.

use std::net::IpAddr;

use podgate_flow::Decision;
use podgate_policy::Verdict;
use serde::{Deserialize, Serialize};

use super::Wire;
use super::wire::Outcome;

/// All attempts of a probe, each with what was expected and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeReport {
    /// The lab's name.
    pub lab: String,
    /// Who tried, in the order of the table's rows.
    pub sources: Vec<Place>,
    /// What was tried, in the order of the table's columns.
    pub targets: Vec<Target>,
    /// One for each source, target and family that makes sense, in order.
    pub cells: Vec<Cell>,
    /// Attempts that were made twice because the first one differed from the expectation.
    pub retried: usize,
    /// What was not tried, and why: lower-case fragments.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// Where connections come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `namespace/pod`, a node's name, or `outside` with an address.
    pub name: String,
    /// The workload's `namespace/name`; the name itself where there is none.
    pub group: String,
    /// What it is.
    pub kind: PlaceKind,
}

/// Kinds of [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaceKind {
    /// A pod.
    Pod,
    /// A node, or a pod in its network.
    Node,
    /// A host outside the cluster.
    Outside,
}

/// What connections are made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `namespace/pod`, `namespace/service`, a node's name, or `outside` with an address.
    pub name: String,
    /// The workload's `namespace/name`; the name itself where there is none.
    pub group: String,
    /// What it is.
    pub kind: TargetKind,
    /// How.
    pub wire: Wire,
    /// Port; 0 for ICMP.
    pub port: u16,
    /// Whether something should listen there; an undeclared port answers by refusing.
    pub declared: bool,
}

/// Kinds of [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// A pod's address.
    Pod,
    /// A Service's cluster address.
    Service,
    /// A Service's port on a node.
    NodePort,
    /// A node's address.
    Node,
    /// A host outside the cluster.
    Outside,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Position in [`ProbeReport::sources`].
    pub from: usize,
    /// Position in [`ProbeReport::targets`].
    pub to: usize,
    /// Address of the source.
    pub source_ip: IpAddr,
    /// Address that was asked.
    pub target_ip: IpAddr,
    /// What policy says.
    pub expected: Expected,
    /// What happened.
    pub measured: Measured,
}

/// What policy says of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The answer in one word.
    pub verdict: Expectation,
    /// Who may answer, with the verdict on each: one for a direct connection, one for each backend of a
    /// Service.
    pub possible: Vec<Possible>,
}

/// Allowed, denied, or depending on which backend a Service picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// Whoever answers may.
    Allowed,
    /// Nobody may answer.
    Denied,
    /// Some backends may, others may not.
    Depends,
}

/// One way in which an attempt can go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Possible {
    /// `namespace/pod`, a node or the outside.
    pub answers: String,
    /// Allowed or denied.
    pub verdict: Verdict,
    /// What the source's policies say.
    pub egress: Decision,
    /// What the destination's policies say.
    pub ingress: Decision,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Measured {
    /// The other end answered or refused: the connection got through.
    Reached {
        /// The pod that said its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Nothing came back.
    Dropped,
    /// It could not be tried, or the network said that nobody is there.
    Failed {
        /// The system's words.
        error: String,
    },
}

impl From<Outcome> for Measured {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            // `namespace/pod port protocol client`: what a responder says first.
            Outcome::Reached(said) => Measured::Reached {
                by: said.and_then(|line| {
                    line.split_whitespace().next().filter(|word| word.contains('/')).map(str::to_owned)
                }),
            },
            Outcome::Dropped => Measured::Dropped,
            Outcome::Failed(error) => Measured::Failed { error },
        }
    }
}

impl Expected {
    /// The expectation that follows from who may answer.
    pub fn new(possible: Vec<Possible>) -> Self {
        let allowed = possible.iter().filter(|p| p.verdict == Verdict::Allowed).count();
        let verdict = match allowed {
            0 => Expectation::Denied,
            n if n == possible.len() => Expectation::Allowed,
            _ => Expectation::Depends,
        };
        Expected { verdict, possible }
    }

    /// Whether what was measured is what policy says.
    pub fn agrees(&self, measured: &Measured) -> bool {
        match (self.verdict, measured) {
            (_, Measured::Failed { .. }) => false,
            (Expectation::Allowed, _) => matches!(measured, Measured::Reached { .. }),
            (Expectation::Denied, _) => *measured == Measured::Dropped,
            (Expectation::Depends, Measured::Dropped) => true,
            (Expectation::Depends, Measured::Reached { by: None }) => true,
            (Expectation::Depends, Measured::Reached { by: Some(name) }) => {
                self.possible.iter().any(|p| p.answers == *name && p.verdict == Verdict::Allowed)
            }
        }
    }
}

impl Cell {
    /// Whether what was measured is what policy says.
    pub fn agrees(&self) -> bool {
        self.expected.agrees(&self.measured)
    }
}

impl Target {
    /// `TCP 80`, `ICMP echo`.
    pub fn port_text(&self) -> String {
        match self.wire {
            Wire::Echo => "ICMP echo".to_owned(),
            wire => format!("{} {}", wire.as_str(), self.port),
        }
    }
}

impl ProbeReport {
    /// The attempts that went otherwise than policy says.
    pub fn differences(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| !cell.agrees())
    }

    /// How many attempts policy expects to be allowed, denied, and depending on the backend.
    pub fn expected_counts(&self) -> (usize, usize, usize) {
        let count = |e| self.cells.iter().filter(|cell| cell.expected.verdict == e).count();
        (count(Expectation::Allowed), count(Expectation::Denied), count(Expectation::Depends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_flow::Reason;

    fn possible(answers: &str, verdict: Verdict) -> Possible {
        let decision = Decision::new(verdict, Reason::NotIsolated);
        Possible { answers: answers.into(), verdict, egress: decision.clone(), ingress: decision }
    }

    fn reached(by: Option<&str>) -> Measured {
        Measured::Reached { by: by.map(str::to_owned) }
    }

    #[test]
    fn agreement_follows_the_backends() {
        use Verdict::{Allowed, Denied};
        let failed = Measured::Failed { error: "no route".into() };
        let (a, b) = (Some("shop/a"), Some("shop/b"));
        for (backends, verdict, measured, agrees) in [
            (vec![("shop/a", Allowed)], Expectation::Allowed, reached(None), true),
            (vec![("shop/a", Allowed)], Expectation::Allowed, Measured::Dropped, false),
            (vec![("shop/a", Denied)], Expectation::Denied, Measured::Dropped, true),
            (vec![("shop/a", Denied)], Expectation::Denied, reached(None), false),
            (vec![("shop/a", Denied)], Expectation::Denied, failed.clone(), false),
            (vec![("shop/a", Allowed)], Expectation::Allowed, failed, false),
            (vec![("shop/a", Allowed), ("shop/b", Denied)], Expectation::Depends, reached(a), true),
            (vec![("shop/a", Allowed), ("shop/b", Denied)], Expectation::Depends, reached(b), false),
            (vec![("shop/a", Allowed), ("shop/b", Denied)], Expectation::Depends, reached(None), true),
            (vec![("shop/a", Allowed), ("shop/b", Denied)], Expectation::Depends, Measured::Dropped, true),
            (vec![("shop/a", Denied), ("shop/b", Denied)], Expectation::Denied, reached(b), false),
        ] {
            let expected = Expected::new(backends.iter().map(|(name, v)| possible(name, *v)).collect());
            assert_eq!(expected.verdict, verdict, "{backends:?}");
            assert_eq!(expected.agrees(&measured), agrees, "{backends:?} and {measured:?}");
        }
    }
}
