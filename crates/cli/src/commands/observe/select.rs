//! Which flows: how many, from when to when, and which of them.

use clap::Args;
use podgate_flow::Filter;
use podgate_hubble::choice::{own_filter, written};
use podgate_hubble::json;
use podgate_hubble::proto::flow::FlowFilter;
use podgate_hubble::proto::podgate::v1::{self, GetRecordsRequest};

use super::filters::Filters;
use crate::input::flows::FlowArguments;
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
    /// The oldest.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["last", "all"], help_heading = "Flows")]
    first: Option<u64>,
    /// All that there are.
    #[arg(long, conflicts_with = "last", help_heading = "Flows")]
    all: bool,
    /// Go on with what comes.
    #[arg(short, long, conflicts_with_all = ["input_files", "dir"], help_heading = "Flows")]
    pub follow: bool,
    #[command(flatten)]
    pub flows: FlowArguments,
}

impl Select {
    /// The same, from a while ago on when nothing says from when on; of an archive all that there is.
    pub fn or_since(&self, ago: &str) -> Select {
        let mut select = self.clone();
        if self.first.is_none() && !self.all {
            select.flows = self.flows.or_since(ago);
            select.all = self.flows.dir.is_some() && self.flows.request().number == 0;
        }
        select
    }

    /// What is asked.
    pub fn request(&self) -> Result<GetRecordsRequest, Failure> {
        let (any_of, none_of) = self.lists()?;
        let request = self.flows.request();
        let says_how_many =
            self.all || request.since.is_some() || self.follow || !self.flows.input_files.is_empty();
        let number = match (self.first, request.number) {
            (Some(count), _) => count,
            (None, 0) if !says_how_many => LAST,
            (None, count) => count,
        };
        self.filter()?;
        Ok(GetRecordsRequest {
            number,
            first: self.first.is_some(),
            follow: self.follow,
            any_of,
            none_of,
            ..request
        })
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
                        "--print-raw-filters: --policy, --rule, --staged, --cut and workloads with a namespace are \
                         podgate's own: a filter of the Hubble API can't say them",
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
        let filter = self.filters.filter()?;
        let mut any_of: Vec<v1::Filter> = filter.any_of.iter().map(written).collect();
        any_of.extend(raw("allowlist", &self.allowlist)?);
        let mut none_of: Vec<v1::Filter> = filter.none_of.iter().map(written).collect();
        none_of.extend(raw("denylist", &self.denylist)?);
        Ok((any_of, none_of))
    }
}

fn own(flow: FlowFilter) -> v1::Filter {
    v1::Filter { flow: Some(flow), ..v1::Filter::default() }
}
