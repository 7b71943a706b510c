//! Destinations known by name: which addresses have the names that rules name, as far as DNS has told it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use crate::blocks::Blocks;
use crate::cluster::Cluster;
use crate::predicates::{PredId, Predicates, Question};
use crate::tables::{ClassId, Family, Kind, ProgramId, Row};

impl Cluster {
    /// Says which addresses a name has from now on, exactly these; none: the name is forgotten. `true` when that is
    /// news. It takes effect with the next [`Cluster::commit`], at the rules that name it or a wildcard above it;
    /// a rule that comes later finds it.
    pub fn bind(&mut self, name: &str, addresses: &[IpAddr]) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.domains.bind(name, addresses.iter().copied().collect())
    }

    /// Whether a rule in force names it or a wildcard above it, by the tables of the last [`Cluster::commit`]. In lower
    /// case and without a final dot.
    pub fn is_named(&self, name: &str) -> bool {
        self.domains.covering(name).next().is_some()
    }

    /// The addresses that a name has, sorted.
    pub fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        self.domains.addresses_of(name).into_iter().flatten().copied().collect()
    }

    /// The domain names that rules in force name, sorted; `*.` in front stands for one or more labels. By the tables
    /// of the last [`Cluster::commit`].
    pub fn domain_names(&self) -> Vec<&str> {
        self.domains.questions.keys().map(|name| &**name).collect()
    }

    /// A number that changes whenever [`Cluster::domain_names`] does.
    pub fn domain_names_version(&self) -> u64 {
        self.domains.version
    }

    /// What an egress program says to an address that DNS answers with for a name, when `network` (`0.0.0.0/0`
    /// or `::/0`) is all that is known of the address. `None` for a program that doesn't exist.
    pub fn row_of_domain(&self, program: ProgramId, name: &str, network: &IpNet) -> Option<Row> {
        let state = self.programs.states.get(&program)?;
        let questions = self.domains.questions.iter();
        let mut unusual: Vec<PredId> =
            questions.filter(|(asked, _)| covers(asked, name)).map(|(_, id)| *id).collect();
        unusual.extend(self.blocks.get(network).into_iter().flat_map(|prefix| prefix.unusual(false)));
        unusual.sort_unstable();
        let kind = Kind { pod: false, family: Family::of(network.addr()) };
        Some(state.row_of(&unusual, kind, self.facts()))
    }
}

/// What DNS has told, and who asks for it.
///
/// ```text
/// name -> addresses --covering(name)--> question -> addresses, counted --first or last--> Blocks
/// ```
#[derive(Clone, Debug, Default)]
pub(crate) struct Domains {
    bound: BTreeMap<Box<str>, BTreeSet<IpAddr>>,
    /// What names have since the last refresh.
    news: BTreeMap<Box<str>, BTreeSet<IpAddr>>,
    /// The questions in use, by what they ask for.
    questions: BTreeMap<Box<str>, PredId>,
    /// How often the questions changed.
    version: u64,
    /// The addresses for which questions are answered with yes, with how many names give each.
    answers: FxHashMap<PredId, BTreeMap<IpAddr, u32>>,
}

impl Domains {
    fn bind(&mut self, name: String, addresses: BTreeSet<IpAddr>) -> bool {
        let is_known = match self.addresses_of(&name) {
            Some(known) => *known == addresses,
            None => addresses.is_empty(),
        };
        if !is_known {
            self.news.insert(name.into(), addresses);
        }
        !is_known
    }

    fn addresses_of(&self, name: &str) -> Option<&BTreeSet<IpAddr>> {
        self.news.get(name).or_else(|| self.bound.get(name))
    }

    /// The questions that a name answers.
    fn covering(&self, name: &str) -> impl Iterator<Item = PredId> {
        let wildcards =
            name.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| format!("*{}", &name[at..]));
        std::iter::once(name.to_owned())
            .take_while(|_| !self.questions.is_empty())
            .chain(wildcards.take_while(|_| !self.questions.is_empty()))
            .filter_map(|asked| self.questions.get(&*asked).copied())
    }

    /// Has the questions answered for what was told, and for what is asked, since the last time.
    pub fn refresh(
        &mut self,
        predicates: &Predicates,
        blocks: &mut Blocks,
        gone: &mut Vec<(IpNet, ClassId)>,
    ) {
        self.forget_dead(predicates, blocks, gone);
        let news = std::mem::take(&mut self.news);
        // All that comes before all that goes: an address that moves from name to name stays what it is.
        for (name, now) in &news {
            let before = self.bound.get(name);
            let new = now.iter().filter(|ip| before.is_none_or(|before| !before.contains(ip)));
            let new: Vec<IpAddr> = new.copied().collect();
            for id in self.covering(name).collect::<Vec<_>>() {
                new.iter().for_each(|ip| self.add(id, *ip, blocks));
            }
        }
        for (name, now) in news {
            let before = self.bound.remove(&name).unwrap_or_default();
            for id in self.covering(&name).collect::<Vec<_>>() {
                before.difference(&now).for_each(|ip| self.remove(id, *ip, blocks, gone));
            }
            if !now.is_empty() {
                self.bound.insert(name, now);
            }
        }
        self.answer_fresh(predicates, blocks);
    }

    fn answer_fresh(&mut self, predicates: &Predicates, blocks: &mut Blocks) {
        let in_use = predicates.fresh.iter().filter(|id| predicates.in_use(**id));
        for id in in_use {
            let Question::Domain(asked) = &predicates.get(*id).question else { continue };
            self.questions.insert(asked.clone(), *id);
            self.version += 1;
            let names: Vec<&BTreeSet<IpAddr>> = match asked.starts_with('*') {
                true => {
                    self.bound.iter().filter(|(name, _)| covers(asked, name)).map(|(_, ips)| ips).collect()
                }
                false => self.bound.get(asked).into_iter().collect(),
            };
            let addresses: Vec<IpAddr> = names.into_iter().flatten().copied().collect();
            addresses.into_iter().for_each(|ip| self.add(*id, ip, blocks));
        }
    }

    fn forget_dead(
        &mut self,
        predicates: &Predicates,
        blocks: &mut Blocks,
        gone: &mut Vec<(IpNet, ClassId)>,
    ) {
        for id in &predicates.dead {
            let Question::Domain(asked) = &predicates.get(*id).question else { continue };
            // One that came and went since the last time was never taken in.
            self.version += u64::from(self.questions.remove(asked).is_some());
            for ip in self.answers.remove(id).unwrap_or_default().into_keys() {
                blocks.leave(*id, ip, gone);
            }
        }
    }

    fn add(&mut self, id: PredId, ip: IpAddr, blocks: &mut Blocks) {
        let names = self.answers.entry(id).or_default().entry(ip).or_default();
        *names += 1;
        if *names == 1 {
            blocks.join(id, ip);
        }
    }

    fn remove(&mut self, id: PredId, ip: IpAddr, blocks: &mut Blocks, gone: &mut Vec<(IpNet, ClassId)>) {
        let Some(answers) = self.answers.get_mut(&id) else { return };
        let Some(names) = answers.get_mut(&ip) else { return };
        *names -= 1;
        if *names == 0 {
            answers.remove(&ip);
            blocks.leave(id, ip, gone);
        }
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
