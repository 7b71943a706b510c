//! Which flows: how many, from when to when, and which of them.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use podgate_flow::Filter;
use podgate_hubble::choice::own_filter;
use podgate_hubble::json;
use podgate_hubble::proto::flow::FlowFilter;
use podgate_hubble::proto::podgate::v1::{self, GetRecordsRequest};

use super::filters::Filters;
use crate::outcome::Failure;

/// How many are shown when nobody says.
const LAST: u64 = 20;

#[derive(Clone, Debug, Args)]
pub struct Select {
    #[command(flatten)]
    filters: Filters,
    /// A filter as JSON, which a flow has to fit; as `hubble observe --allowlist` takes it.
    #[arg(long, value_name = "JSON", help_heading = "Filters")]
    allowlist: Vec<String>,
    /// A filter as JSON, which a flow must not fit.
    #[arg(long, value_name = "JSON", help_heading = "Filters")]
    denylist: Vec<String>,
    /// Print the filters as JSON for --allowlist and --denylist, and end.
    #[arg(long, help_heading = "Filters")]
    pub print_raw_filters: bool,
    /// The newest: of all nodes together.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["first", "all"], help_heading = "Selection")]
    last: Option<u64>,
    /// The oldest.
    #[arg(long, value_name = "COUNT", conflicts_with = "all", help_heading = "Selection")]
    first: Option<u64>,
    /// All that there are.
    #[arg(long, help_heading = "Selection")]
    all: bool,
    /// From this time on: 5m, 1h30m, 2026-01-31T10:00:00Z, 2026-01-31.
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Selection")]
    since: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Selection")]
    until: Option<Timestamp>,
    /// Go on with what comes.
    #[arg(short, long, help_heading = "Selection")]
    pub follow: bool,
    /// Read flows from a file instead of a server: what `hubble observe -o jsonpb`, `podgate observe -o jsonpb` or
    /// `-o record` wrote; -: standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "follow", help_heading = "Selection")]
    pub input_file: Option<PathBuf>,
}

impl Select {
    /// The same, from a while ago on when nothing says from when on.
    pub fn or_since(&self, ago: &str) -> Select {
        let mut select = self.clone();
        let is_open = self.since.is_none() && self.last.is_none() && self.first.is_none() && !self.all;
        if is_open && self.input_file.is_none() {
            select.since = time(ago).ok();
        }
        select
    }

    /// What a server is asked.
    pub fn request(&self) -> Result<GetRecordsRequest, Failure> {
        let (any_of, none_of) = self.lists()?;
        let says_how_many = self.all || self.since.is_some() || self.follow || self.input_file.is_some();
        let number = match (self.first, self.last) {
            (Some(count), _) | (None, Some(count)) => count,
            (None, None) if says_how_many => 0,
            (None, None) => LAST,
        };
        let request = GetRecordsRequest {
            number,
            first: self.first.is_some(),
            follow: self.follow,
            since: self.since.map(to_proto),
            until: self.until.map(to_proto),
            any_of,
            none_of,
        };
        self.filter()?;
        Ok(request)
    }

    /// The filters, for what is chosen here.
    pub fn filter(&self) -> Result<Filter, Failure> {
        let (any_of, none_of) = self.lists()?;
        own_filter(&any_of, &none_of, "").map_err(|error| Failure::bad(error.to_string()))
    }

    /// The filters as lines of YAML, which Hubble's configuration takes as well.
    pub fn raw_filters(&self) -> Result<String, Failure> {
        let (any_of, none_of) = self.lists()?;
        let mut text = String::new();
        for (name, filters) in [("allowlist", any_of), ("denylist", none_of)] {
            if filters.is_empty() {
                continue;
            }
            text.push_str(&format!("{name}:\n"));
            for filter in filters {
                let own = v1::Filter { flow: None, ..filter.clone() };
                if own != v1::Filter::default() {
                    return Err(Failure::bad(
                        "--print-raw-filters: --policy, --rule, --staged and --cut are podgate's own: a filter of the \
                         Hubble API can't say them",
                    ));
                }
                text.push_str(&format!("    - '{}'\n", json::filter(&filter.flow.unwrap_or_default())));
            }
        }
        Ok(text)
    }

    fn lists(&self) -> Result<(Vec<v1::Filter>, Vec<v1::Filter>), Failure> {
        let raw = |flag: &str, texts: &[String]| -> Result<Vec<v1::Filter>, Failure> {
            let filter = |text: &String| match json::read_filter(text) {
                Ok(flow) => Ok(own(flow)),
                Err(error) => Err(Failure::bad(format!("--{flag} {text}: {error}"))),
            };
            texts.iter().map(filter).collect()
        };
        let mut any_of = self.filters.of(false)?;
        any_of.extend(raw("allowlist", &self.allowlist)?);
        let mut none_of = self.filters.of(true)?;
        none_of.extend(raw("denylist", &self.denylist)?);
        Ok((any_of, none_of))
    }
}

fn own(flow: FlowFilter) -> v1::Filter {
    v1::Filter { flow: Some(flow), ..v1::Filter::default() }
}

fn to_proto(time: Timestamp) -> podgate_hubble::proto::Timestamp {
    podgate_hubble::proto::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// `5m` ago, or a point in time.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Some(nanos) = duration(text) {
        let ago = i64::try_from(nanos).map(jiff::SignedDuration::from_nanos);
        let then = ago.ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok());
        return then.ok_or_else(|| format!("{text} ago was before the calendar begins"));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let day = text.parse::<jiff::civil::Date>().ok().and_then(|day| {
        let zoned = day.to_zoned(jiff::tz::TimeZone::UTC);
        zoned.ok().map(|zoned| zoned.timestamp())
    });
    day.ok_or_else(|| "write 5m or 1h30m for so long ago, 2026-01-31T10:00:00Z, or 2026-01-31".to_owned())
}

/// `1h30m` in nanoseconds.
fn duration(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let unit: u128 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        sum += u128::from(number.parse::<u32>().ok()?) * unit;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("250ms"), Some(250_000_000));
        for text in ["", "5", "m", "5x", "-5m"] {
            assert_eq!(duration(text), None, "{text}");
        }
        let at = |text: &str| time(text).unwrap().to_string();
        assert_eq!(at("2026-01-31T10:00:00+01:00"), "2026-01-31T09:00:00Z");
        assert_eq!(at("2026-01-31"), "2026-01-31T00:00:00Z");
        assert!(time("yesterday").unwrap_err().contains("1h30m"));
    }
}
