//! Whether one end can reach another, and why.

use podgate_analysis::why::{Answer, Question};
use podgate_analysis::{End, PortSpec};
use podgate_flow::Filter;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::flows::{records, seen};
use crate::model::{EdgeDetails, Place};
use crate::places::Namer;

/// Records of an edge.
const MOST_RECORDS: usize = 50;

/// Answers /why.
pub fn why(ask: &Ask) -> Result<Answer, Fault> {
    let port = ask.text("port").filter(|port| !port.is_empty());
    can(ask, ask.required("from"), ask.required("to"), port)
}

fn can(ask: &Ask, from: &str, to: &str, port: Option<&str>) -> Result<Answer, Fault> {
    let places = ask.snapshot.places();
    let end = |name: &str, text: &str| {
        End::parse(places.end(text), None).map_err(|error| Fault::bad(format!("{name}={text}: {error}")))
    };
    let port =
        port.map(|text| PortSpec::parse(text).map_err(|error| Fault::bad(format!("port={text}: {error}"))));
    let question = Question { from: end("from", from)?, to: end("to", to)?, port: port.transpose()? };
    ask.snapshot.world().can(&question).map_err(|error| Fault::bad(error.to_string()))
}

/// Answers /edge.
pub fn edge(ask: &Ask) -> Result<EdgeDetails, Fault> {
    let (from, to, window) = (ask.required("from"), ask.required("to"), ask.window()?);
    let mut namer = Namer::new(ask.snapshot.places());
    let all = match ask.server.is_watched() {
        true => records(&ask.server, window, Filter::default())?,
        false => Vec::new(),
    };
    let pairs = seen::pairs(&ask.server, window, &all, &mut namer);
    let ends = |of: &Namer<'_>, (a, b): (usize, usize)| is(of.get(a), from) && is(of.get(b), to);
    let known = |text: &str| ask.snapshot.places().find(text).map(|at| ask.snapshot.places().get(at).clone());
    let mut found = [known(from), known(to)];
    let mut seen = crate::model::Seen::default();
    for (key, pair) in pairs.iter().filter(|(key, _)| ends(&namer, **key)) {
        seen.allowed += pair.seen.allowed;
        seen.denied += pair.seen.denied;
        seen.staged += pair.seen.staged;
        seen.bytes += pair.seen.bytes;
        seen.last = seen.last.max(pair.seen.last);
        for (place, at) in found.iter_mut().zip([key.0, key.1]) {
            place.get_or_insert_with(|| namer.get(at).clone());
        }
    }
    let mut fitting = Vec::new();
    for record in all.iter().rev() {
        let key = (namer.endpoint(&record.source), namer.endpoint(&record.destination));
        if fitting.len() < MOST_RECORDS && ends(&namer, key) {
            fitting.push(record.clone());
        }
    }
    let (why, untold) = match can(ask, from, to, None) {
        Ok(answer) => (Some(answer), None),
        Err(fault) => (None, Some(fault.error)),
    };
    let [from_place, to_place] = found;
    let (Some(from), Some(to)) =
        (from_place.or_else(|| told(from, why.as_ref())), to_place.or_else(|| told(to, why.as_ref())))
    else {
        return Err(Fault::missing(untold.unwrap_or_else(|| format!("nothing is known of {from} or {to}"))));
    };
    Ok(EdgeDetails { from, to, why, untold, seen, records: fitting })
}

/// Whether a place is meant by an id: itself, or the namespace that it is in.
fn is(place: &Place, id: &str) -> bool {
    place.id == id || place.end == id || (!place.namespace.is_empty() && place.namespace == id)
}

/// An end that is no place and that policy knows all the same: an address, a selector.
fn told(text: &str, why: Option<&Answer>) -> Option<Place> {
    why?;
    let text = text.to_owned();
    Some(Place {
        id: text.clone(),
        end: text.clone(),
        namespace: String::new(),
        name: text,
        kind: String::new(),
    })
}
