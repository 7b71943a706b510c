//! A request as the answers read it.

use std::sync::Arc;

use podgate_analysis::ends::nearest;
use podgate_flow::Timestamp;

use crate::fault::Fault;
use crate::routes::{Form, ROUTES, Route};
use crate::state::{Server, Snapshot};

/// A request, its parameters checked against its route.
pub struct Ask {
    /// What is served.
    pub server: Arc<Server>,
    /// The objects that the answer is about.
    pub snapshot: Arc<Snapshot>,
    /// When it was asked.
    pub now: Timestamp,
    /// The segment of the path that its route calls `{id}`.
    pub id: String,
    /// What came with a POST.
    pub body: Vec<u8>,
    route: &'static Route,
    parameters: Vec<(String, String)>,
}

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From then on; 0: from the beginning.
    pub since: Timestamp,
    /// Before then.
    pub until: Timestamp,
}

impl Ask {
    /// Reads the query of a request.
    pub fn new(
        server: Arc<Server>,
        route: &'static Route,
        query: &str,
        id: String,
        body: Vec<u8>,
    ) -> Result<Ask, Fault> {
        let parameters: Vec<(String, String)> =
            form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        check(route, &parameters)?;
        let (now, snapshot) = (server.now(), server.snapshot());
        Ok(Ask { server, snapshot, now, id, body, route, parameters })
    }

    /// Asks for the status on the server's own behalf.
    pub fn status(server: Arc<Server>) -> Ask {
        let (now, snapshot) = (server.now(), server.snapshot());
        let route = &ROUTES[0];
        Ask { server, snapshot, now, id: String::new(), body: Vec::new(), route, parameters: Vec::new() }
    }

    /// The parameters as they were given.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// A parameter that may be left out.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is there.
    pub fn required(&self, name: &str) -> &str {
        self.text(name).unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.parameters.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A parameter that is a number.
    pub fn number(&self, name: &str) -> u64 {
        let parameter = self.route.parameters.iter().find(|parameter| parameter.name == name);
        let default = match parameter.map(|parameter| parameter.form) {
            Some(Form::Number(_, _, default)) => default,
            _ => 0,
        };
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// The time that is asked about.
    pub fn window(&self) -> Result<Window, Fault> {
        let time = |name: &str| {
            let text = self.text(name);
            text.map(|text| self.time(text).map_err(|why| Fault::bad(format!("{name}={text}: {why}"))))
                .transpose()
        };
        let since = time("since")?.unwrap_or(Timestamp(0));
        // What comes while the answer is made is in it: a client that asks again misses nothing.
        let until = time("until")?.unwrap_or(Timestamp(u64::MAX));
        if since >= until {
            return Err(Fault::bad("since is not before until: turn them round"));
        }
        Ok(Window { since, until })
    }

    /// A time, or a length before now.
    pub fn time(&self, text: &str) -> Result<Timestamp, String> {
        if let Some(length) = length(text) {
            return Ok(Timestamp(self.now.0.saturating_sub(length)));
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            "write a time such as 2026-01-31T10:00:00Z, or a length such as 10m or 24h".to_owned()
        })?;
        u64::try_from(time.as_nanosecond()).map(Timestamp).map_err(|_| "that was before 1970".to_owned())
    }
}

/// The nanoseconds of `90s`, `10m`, `1h30m`, `7d`.
fn length(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes()[digits] {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    if text.is_empty() { None } else { seconds.checked_mul(1_000_000_000) }
}

fn check(route: &Route, given: &[(String, String)]) -> Result<(), Fault> {
    let known = route.query();
    for (at, (name, value)) in given.iter().enumerate() {
        let Some(parameter) = known.iter().find(|parameter| parameter.name == name) else {
            let near = nearest(name, known.iter().map(|parameter| parameter.name));
            let help = match (near.first(), known.is_empty()) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, true) => "it takes none".to_owned(),
                (None, false) => {
                    let own: Vec<&str> =
                        route.query().iter().map(|parameter| parameter.name).take(12).collect();
                    format!("it takes {}", own.join(", "))
                }
            };
            return Err(Fault::bad(format!("{} has no parameter {name}: {help}", route.path)));
        };
        if !parameter.repeats && given[..at].iter().any(|(other, _)| other == name) {
            return Err(Fault::bad(format!("{name} is given twice: give it once")));
        }
        let fits = match parameter.form {
            Form::Number(least, most, _) => match value.parse::<u64>() {
                Ok(number) if (least..=most).contains(&number) => Ok(()),
                _ => Err(format!("a number from {least} to {most}")),
            },
            Form::OneOf(texts) if !texts.contains(&value.as_str()) => Err(texts.join(", ")),
            Form::OneOf(_) | Form::Text | Form::Segment => Ok(()),
        };
        fits.map_err(|wanted| Fault::bad(format!("{name}={value}: write {wanted}")))?;
    }
    for parameter in &known {
        if !parameter.optional
            && !given.iter().any(|(name, value)| name == parameter.name && !value.is_empty())
        {
            return Err(Fault::bad(format!(
                "{} needs the parameter {}: {}",
                route.path, parameter.name, parameter.help
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_in_their_units() {
        let second = 1_000_000_000;
        for (text, seconds) in
            [("90s", Some(90)), ("10m", Some(600)), ("1h30m", Some(5400)), ("7d", Some(604_800))]
        {
            assert_eq!(length(text), seconds.map(|seconds: u64| seconds * second), "{text}");
        }
        for text in ["", "10", "m", "10x", "1h30", "-1h", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(length(text), None, "{text}");
        }
    }
}
