//! A page of flows, newest first, with what to filter by next.

use std::collections::BTreeMap;
use std::sync::Arc;

use podgate_flow::{Filter, FlowRecord, FlowVerdict, Reason, Timestamp};

use super::{filters, losses, records, watched};
use crate::ask::Ask;
use crate::fault::Fault;
use crate::model::{Facet, FacetValue, FlowPage};
use crate::places::Namer;

/// Values of a facet.
const MOST_VALUES: usize = 12;

/// Answers /flows.
pub fn page(ask: &Ask) -> Result<FlowPage, Fault> {
    watched(ask)?;
    let window = ask.window()?;
    let filter = filters::parse(ask.parameters()).map_err(Fault::bad)?;
    let before = ask.text("before").map(Cursor::parse).transpose()?;
    let all = records(&ask.server, window, Filter::default())?;
    let fitting: Vec<Arc<FlowRecord>> = all.iter().filter(|record| filter.accepts(record)).cloned().collect();
    let limit = ask.number("limit") as usize;
    let mut left = before.as_ref().map_or(0, |before| before.skip);
    let mut newest_first = fitting.iter().rev().skip_while(|record| match &before {
        Some(before) if record.time > before.time => true,
        Some(before) if record.time == before.time && left > 0 => {
            left -= 1;
            true
        }
        _ => false,
    });
    let page: Vec<Arc<FlowRecord>> = newest_first.by_ref().take(limit).cloned().collect();
    let is_last = newest_first.next().is_none();
    let next = page.last().filter(|_| !is_last).map(|last| {
        let same = page.iter().filter(|record| record.time == last.time).count();
        let earlier = before.filter(|before| before.time == last.time).map_or(0, |before| before.skip);
        Cursor { time: last.time, skip: same + earlier }.text()
    });
    Ok(FlowPage {
        matching: fitting.len() as u64,
        total: all.len() as u64,
        facets: facets(ask, &fitting),
        records: page,
        next,
        losses: losses(&ask.server),
    })
}

/// Where a page ends: records of this time and before, without so many of this very time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    time: Timestamp,
    skip: usize,
}

impl Cursor {
    fn text(self) -> String {
        format!("{}.{}", self.time.0, self.skip)
    }

    fn parse(text: &str) -> Result<Cursor, Fault> {
        let parts =
            text.split_once('.').and_then(|(time, skip)| Some((time.parse().ok()?, skip.parse().ok()?)));
        let (time, skip) =
            parts.ok_or_else(|| Fault::bad(format!("before={text}: write `next` of the page before")))?;
        Ok(Cursor { time: Timestamp(time), skip })
    }
}

fn facets(ask: &Ask, records: &[Arc<FlowRecord>]) -> Vec<Facet> {
    let mut namer = Namer::new(ask.snapshot.places());
    let mut counts: [BTreeMap<String, u64>; 7] = Default::default();
    const FIELDS: [&str; 7] =
        ["verdict", "namespace", "workload", "policy", "to-port", "protocol", "node-name"];
    let mut places: BTreeMap<usize, u64> = BTreeMap::new();
    let mut policies: BTreeMap<&podgate_policy::PolicyRef, u64> = BTreeMap::new();
    for record in records {
        let verdict = match record.verdict {
            FlowVerdict::Allowed => "allowed",
            FlowVerdict::Denied => "denied",
            FlowVerdict::Unknown => "unknown",
        };
        let mut add = |field: usize, value: String| *counts[field].entry(value).or_default() += 1;
        add(0, verdict.to_owned());
        // Protocols without ports have 0.
        if record.destination.port > 0 {
            add(4, record.destination.port.to_string());
        }
        add(5, record.protocol.to_string());
        add(6, record.node.to_string());
        let (from, to) = (namer.endpoint(&record.source), namer.endpoint(&record.destination));
        for at in [Some(from), (to != from).then_some(to)].into_iter().flatten() {
            *places.entry(at).or_default() += 1;
        }
        let namespaces = [from, to].map(|at| namer.get(at).namespace.as_str());
        for (at, namespace) in namespaces.iter().enumerate() {
            if !namespace.is_empty() && (at == 0 || namespaces[0] != *namespace) {
                add(1, (*namespace).to_owned());
            }
        }
        for policy in deciding(record) {
            *policies.entry(policy).or_default() += 1;
        }
    }
    for (at, count) in places {
        let place = namer.get(at);
        if !place.namespace.is_empty() {
            counts[2].insert(place.id.clone(), count);
        }
    }
    for (policy, count) in policies {
        counts[3].insert(format!("{}/{}/{}", policy.kind, policy.namespace, policy.name), count);
    }
    let facet = |(field, counts): (&str, BTreeMap<String, u64>)| {
        let mut values: Vec<FacetValue> =
            counts.into_iter().map(|(value, count)| FacetValue { value, count }).collect();
        values.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.value.cmp(&b.value)));
        values.truncate(MOST_VALUES);
        Facet { field: field.to_owned(), values }
    };
    FIELDS.into_iter().zip(counts).map(facet).collect()
}

/// The policies that decided a connection, or that isolate an end of it: each once.
pub fn deciding(record: &FlowRecord) -> Vec<&podgate_policy::PolicyRef> {
    let mut policies: Vec<&podgate_policy::PolicyRef> = Vec::new();
    for decision in [&record.egress, &record.ingress].into_iter().flatten() {
        match &*decision.reason {
            Reason::Rule { policy, .. } => policies.push(policy),
            Reason::Isolated { policies: isolating } => policies.extend(isolating),
            _ => {}
        }
    }
    policies.sort();
    policies.dedup();
    policies
}
