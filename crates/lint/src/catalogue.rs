//! All checks, in the order of the book.

use std::fmt;

use crate::checks;
use crate::{Context, Findings, Severity};

/// Where the book is on the web.
const BOOK: &str = "https://podgate.github.io/podgate/checks";

/// A check.
#[derive(Clone, Copy)]
pub struct CheckInfo {
    /// Stable, in kebab-case, never used twice.
    pub id: &'static str,
    /// How bad its findings are, unless they say otherwise.
    pub severity: Severity,
    /// What it finds, in a few words.
    pub title: &'static str,
    /// Why it matters, in a sentence or two.
    pub why: &'static str,
    /// Its page of the book, Markdown.
    pub page: &'static str,
    pub(crate) run: fn(&Context<'_>, &mut Findings<'_>),
}

impl CheckInfo {
    /// The page on the web.
    pub fn url(&self) -> String {
        format!("{BOOK}/{}.html", self.id)
    }
}

impl fmt::Debug for CheckInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckInfo").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The check of an id.
pub fn check(id: &str) -> Option<&'static CheckInfo> {
    CHECKS.iter().find(|info| info.id == id)
}

/// All checks.
pub static CHECKS: &[CheckInfo] = &[
    checks::dns_egress_blocked::CHECK,
    checks::dns_udp_only::CHECK,
    checks::dns_tcp_only::CHECK,
    checks::peer_and_or_split::CHECK,
    checks::selects_nothing::CHECK,
    checks::namespace_name_label::CHECK,
    checks::wrong_namespace::CHECK,
    checks::service_port_not_target_port::CHECK,
    checks::named_port_missing::CHECK,
    checks::port_not_open::CHECK,
    checks::cluster_ip_in_ipblock::CHECK,
    checks::except_ineffective::CHECK,
    checks::except_not_inside::CHECK,
    checks::cidr_not_canonical::CHECK,
    checks::other_side_missing::CHECK,
    checks::unprotected_pod::CHECK,
    checks::namespace_without_default_deny::CHECK,
    checks::overly_broad::CHECK,
    checks::metadata_reachable::CHECK,
    checks::internet_exposed::CHECK,
    checks::redundant_rule::CHECK,
    checks::redundant_policy::CHECK,
    checks::ineffective_policy::CHECK,
    checks::policy_types_surprise::CHECK,
    checks::empty_rule_confusion::CHECK,
    checks::host_network_subject::CHECK,
    checks::node_port_source_nat::CHECK,
    checks::cnp_priority_tie::CHECK,
    checks::cnp_shadowed::CHECK,
    checks::cnp_pass_all::CHECK,
    checks::cnp_selects_kube_system::CHECK,
    checks::duplicate_policy::CHECK,
    checks::invalid_object::CHECK,
];
