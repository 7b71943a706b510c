//! Connectivity tests: whether every connection that a case names is as it expects.

use podgate_api::{ConnectivityCase, ConnectivityTest, Expect, Written};
use serde::Serialize;

use crate::ends::{End, EndError, PortSpec, Ports, Resolved};
use crate::ports::PortSet;
use crate::why::change::place;
use crate::why::judge::{Judged, telling_port};
use crate::why::{Explained, Group, Short};
use crate::world::World;

/// What came of all cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestReport {
    /// Cases that hold.
    pub passed: usize,
    /// Cases that don't.
    pub failed: usize,
    /// Cases that mean nothing here.
    pub errors: usize,
    /// Every case, in order of the input.
    pub cases: Vec<CaseReport>,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseReport {
    /// The test that the case is in.
    pub test: String,
    /// The case's name, or what it says when it has none.
    pub name: String,
    /// `file:line`.
    pub at: String,
    /// The file.
    pub file: String,
    /// The line, 0 when unknown.
    pub line: u32,
    /// What was expected.
    pub expect: Expect,
    /// What came of it.
    pub result: CaseResult,
    /// Pairs of pods or address ranges that were looked at, as far as policy tells them apart.
    pub pairs: usize,
    /// How many of them are not as expected.
    pub wrong: usize,
    /// Connections that are not as expected, what is alike together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub connections: Vec<Group>,
    /// How many more groups of connections there are.
    #[serde(skip_serializing_if = "crate::why::is_zero")]
    pub more_connections: usize,
    /// Why, for the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub explanations: Vec<Explained>,
    /// Why the case means nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What a reader should know about its ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Whether a case holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseResult {
    /// Every connection is as expected.
    Passed,
    /// Some are not.
    Failed,
    /// An end or a port means nothing here: an expectation about nothing can't hold.
    Error,
}

/// The ends and ports of a case in a world.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// Who connects.
    pub from: Resolved,
    /// To whom.
    pub to: Resolved,
    /// On which ports.
    pub ports: Ports,
}

/// Failing connections that are explained.
const MOST_EXPLAINED: usize = 2;

impl World {
    /// Runs every case of [`World::tests`].
    pub fn run_tests(&self) -> TestReport {
        let cases: Vec<CaseReport> = self
            .tests
            .iter()
            .flat_map(|test| test.cases.iter().map(|case| self.run_case(test, case)))
            .collect();
        let count = |wanted: CaseResult| cases.iter().filter(|case| case.result == wanted).count();
        TestReport {
            passed: count(CaseResult::Passed),
            failed: count(CaseResult::Failed),
            errors: count(CaseResult::Error),
            cases,
        }
    }

    /// The ends and ports of a case.
    ///
    /// # Errors
    /// When one of them means nothing here, or nothing is left of it.
    pub fn expand_case(
        &self,
        test: &ConnectivityTest,
        case: &ConnectivityCase,
    ) -> Result<Expanded, EndError> {
        let namespace = Some(test.meta.namespace.as_str()).filter(|name| !name.is_empty());
        let sum = |field: &str, written: &[Written]| -> Result<Vec<Resolved>, EndError> {
            let ends = written.iter().map(|written| {
                let resolved = End::parse(&written.text, namespace).and_then(|end| self.resolve(&end));
                resolved.map_err(|error| located(field, written, error))
            });
            ends.collect()
        };
        let mut from = joined(&sum("from", &case.from)?);
        let targets = sum("to", &case.to)?;
        let mut ports = Ports::default();
        for target in &targets {
            if case.ports.is_empty() {
                ports.add(&self.resolve_ports(target, None)?);
            }
            for written in &case.ports {
                let here =
                    PortSpec::parse(&written.text).and_then(|spec| self.resolve_ports(target, Some(&spec)));
                ports.add(&here.map_err(|error| located("port", written, error))?);
            }
        }
        let mut to = joined(&targets);
        for (field, written, end, without) in [
            ("from", &case.from, &mut from, sum("notFrom", &case.not_from)?),
            ("to", &case.to, &mut to, sum("notTo", &case.not_to)?),
        ] {
            without.iter().for_each(|other| end.remove(other));
            if end.is_empty() {
                let texts: Vec<&str> = written.iter().map(|written| written.text.as_str()).collect();
                return Err(EndError::new(
                    format!("nothing is left of {field}: {}", texts.join(", ")),
                    "an expectation about nothing can't hold",
                ));
            }
        }
        Ok(Expanded { from, to, ports })
    }

    fn run_case(&self, test: &ConnectivityTest, case: &ConnectivityCase) -> CaseReport {
        let mut report = CaseReport {
            test: test.meta.name.clone(),
            name: case_name(case),
            at: place(&case.source),
            file: case.source.file.to_string(),
            line: case.source.line,
            expect: case.expect,
            result: CaseResult::Error,
            pairs: 0,
            wrong: 0,
            connections: Vec::new(),
            more_connections: 0,
            explanations: Vec::new(),
            error: None,
            notes: Vec::new(),
        };
        match self.expand_case(test, case) {
            Ok(expanded) => self.judge_case(&expanded, &mut report),
            Err(error) => report.error = Some(error.to_string()),
        }
        report
    }

    fn judge_case(&self, expanded: &Expanded, report: &mut CaseReport) {
        let Expanded { from, to, ports } = expanded;
        let mut judged = Judged::all(self, &self.families_of(from, to), from, to, ports);
        judged.iter_mut().for_each(Judged::leave_out_own_nodes);
        if judged.is_empty() {
            report.error = Some("its ends have no connection between them on these ports".to_owned());
            return;
        }
        report.notes = ports.notes.clone();
        let is_wrong = |allowed: &PortSet, asked: &PortSet| match report.expect {
            Expect::Allowed => allowed != asked,
            Expect::Denied => !allowed.is_empty(),
        };
        for one in &judged {
            for (source, target, allowed) in one.cells() {
                report.pairs += one.from[source].units.len() * one.to[target].units.len();
                let (allowed, asked) = (one.sets.get(allowed), one.sets.get(one.to[target].asked));
                if !is_wrong(allowed, asked) {
                    continue;
                }
                report.wrong += one.from[source].units.len() * one.to[target].units.len();
                if report.explanations.len() < MOST_EXPLAINED {
                    let set = match report.expect {
                        Expect::Allowed => asked.difference(allowed),
                        Expect::Denied => allowed.clone(),
                    };
                    let (a, _, b, _) = one.example(source, target);
                    if let Some(key) = telling_port(self, b, &set) {
                        let explained = self.explain_pair(a, b, key, &set, to, ports);
                        let same = |known: &Explained| {
                            (&known.from, &known.to, &known.port)
                                == (&explained.from, &explained.to, &explained.port)
                        };
                        // The other family says the same, nearly always.
                        if !report.explanations.iter().any(same) {
                            report.explanations.push(explained);
                        }
                    }
                }
            }
        }
        if report.wrong == 0 {
            report.result = CaseResult::Passed;
            return;
        }
        report.result = CaseResult::Failed;
        let right = match report.expect {
            Expect::Allowed => Short::Yes,
            Expect::Denied => Short::No,
        };
        (report.connections, report.more_connections) = self.groups(&judged, true, |answer| answer != right);
    }
}

fn joined(ends: &[Resolved]) -> Resolved {
    let titles: Vec<&str> = ends.iter().map(|end| end.title.as_str()).collect();
    let mut sum = Resolved { title: titles.join(", "), ..Resolved::default() };
    // Hints about a Service's name need the one Service it is about.
    let service = match ends {
        [only] => only.service,
        _ => None,
    };
    ends.iter().for_each(|end| sum.add(end));
    sum.service = service;
    sum
}

fn located(field: &str, written: &Written, error: EndError) -> EndError {
    EndError::new(format!("{}: {field}: {}", place(&written.source), error.message), error.help)
}

/// The name, or what the case says in short.
fn case_name(case: &ConnectivityCase) -> String {
    if !case.name.is_empty() {
        return case.name.clone();
    }
    let texts =
        |written: &[Written]| written.iter().map(|one| one.text.as_str()).collect::<Vec<_>>().join(", ");
    let without = |written: &[Written]| match written.is_empty() {
        true => String::new(),
        false => format!(" but {}", texts(written)),
    };
    let ports = if case.ports.is_empty() { String::new() } else { format!(" on {}", texts(&case.ports)) };
    let expect = match case.expect {
        Expect::Allowed => "allowed",
        Expect::Denied => "denied",
    };
    format!(
        "{}{} -> {}{}{ports}: {expect}",
        texts(&case.from),
        without(&case.not_from),
        texts(&case.to),
        without(&case.not_to)
    )
}

#[cfg(test)]
mod tests;
