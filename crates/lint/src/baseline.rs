//! Findings that a team knows of: what was there when it began stays quiet, what is new does not.
//!
//! A finding is recognised by its check, its object and the text of the line that it blames, so that it
//! survives lines that move and files that are renamed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Context;
use crate::finding::Finding;

/// A baseline file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The form of the file.
    pub version: u32,
    /// What is known, sorted.
    pub findings: Vec<Known>,
}

/// A finding of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The check's id.
    pub check: String,
    /// The object, for people.
    pub object: String,
    /// See [`Finding::fingerprint`].
    pub fingerprint: String,
}

impl Baseline {
    /// The form that this version writes.
    pub const VERSION: u32 = 1;

    /// A baseline of findings.
    pub fn of<'f>(findings: impl Iterator<Item = &'f Finding>) -> Baseline {
        let mut known: Vec<Known> = findings
            .map(|finding| Known {
                check: finding.check.to_owned(),
                object: finding.object.to_string(),
                fingerprint: finding.fingerprint.clone(),
            })
            .collect();
        known.sort();
        Baseline { version: Baseline::VERSION, findings: known }
    }

    /// Whether a finding is known.
    pub fn knows(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|known| known.fingerprint == finding.fingerprint)
    }

    /// What is known and was not found again.
    pub fn stale<'b>(&'b self, findings: &[Finding]) -> Vec<&'b Known> {
        let found: std::collections::BTreeSet<&str> =
            findings.iter().map(|f| f.fingerprint.as_str()).collect();
        self.findings.iter().filter(|known| !found.contains(known.fingerprint.as_str())).collect()
    }
}

/// Gives each finding its fingerprint. Findings that look alike are numbered in their order.
pub(crate) fn fingerprint(findings: &mut [Finding], context: &Context<'_>) {
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    for finding in findings {
        let text = context.text_of(&finding.source);
        let line = text.as_ref().and_then(|text| text.line(finding.source.line));
        let object = &finding.object;
        let parts = [
            finding.check,
            &object.kind,
            &object.namespace,
            &object.name,
            line.map_or(finding.message.as_str(), str::trim),
        ];
        let hash = hash(&parts);
        let number = seen.entry(hash).and_modify(|number| *number += 1).or_insert(0);
        finding.fingerprint = match number {
            0 => format!("{hash:016x}"),
            _ => format!("{hash:016x}-{number}"),
        };
    }
}

/// FNV-1a: the same on every machine and in every version.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
