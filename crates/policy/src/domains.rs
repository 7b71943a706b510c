//! Destinations known by name only: what rules say of addresses that DNS will answer with.

use ipnet::IpNet;

use crate::cluster::Cluster;
use crate::predicates::{PredId, Question};
use crate::tables::{Family, Kind, ProgramId, Row};

impl Cluster {
    /// The domain names that rules in force name, sorted; `*.` in front stands for one or more labels.
    pub fn domain_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.domain_questions().map(|(_, name)| name).collect();
        names.sort_unstable();
        names
    }

    /// What an egress program says to an address that DNS answers with for a name, when `network` (`0.0.0.0/0`
    /// or `::/0`) is all that is known of the address. `None` for a program that doesn't exist.
    pub fn row_of_domain(&self, program: ProgramId, name: &str, network: &IpNet) -> Option<Row> {
        let state = self.programs.states.get(&program)?;
        let of_name = self.domain_questions().filter(|(_, asked)| covers(asked, name)).map(|(id, _)| id);
        let mut unusual: Vec<PredId> = of_name.collect();
        unusual.extend(self.blocks.get(network).into_iter().flat_map(|prefix| prefix.unusual(false)));
        let kind = Kind { pod: false, family: Family::of(network.addr()) };
        Some(state.row_of(&unusual, kind, self.facts()))
    }

    fn domain_questions(&self) -> impl Iterator<Item = (PredId, &str)> {
        self.predicates.all().filter_map(|(id, question)| match question {
            Question::Domain(name) => Some((id, &**name)),
            _ => None,
        })
    }
}

/// Whether a name in a rule stands for another name: its own, or all below it.
fn covers(asked: &str, name: &str) -> bool {
    match asked.strip_prefix('*') {
        Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix) || asked == name,
        None => asked == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_or_more_labels() {
        for (asked, name, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "www.example.com", false),
            ("*.example.com", "www.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "*.example.com", true),
            ("*.example.com", "*.b.example.com", true),
            ("*.b.example.com", "*.example.com", false),
            ("*.example.com", "badexample.com", false),
        ] {
            assert_eq!(covers(asked, name), expected, "{asked} covers {name}");
        }
    }
}
