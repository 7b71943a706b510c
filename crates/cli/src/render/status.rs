//! The answer of `status` for people: what is wrong first, then what is enforced.

use std::fmt::Write;

use podgate_agent::{PodStatus, SourceStatus, Status};

use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// Pods that are named of those that are as they should be; more are counted.
const MOST_PODS: usize = 20;

/// The whole answer.
pub fn text(status: &Status) -> String {
    let mut out = String::new();
    headline(&mut out, status);
    for failure in &status.failures {
        let _ = writeln!(out, "{BAD}failing:{BAD:#} {failure}");
    }
    for fault in &status.faults {
        let _ = writeln!(out, "{WARN}not as written:{WARN:#} {}: {}", fault.object, fault.message);
    }
    let kernel = &status.kernel;
    for ip in &kernel.closed {
        let _ = writeln!(out, "{BAD}closed:{BAD:#} {ip}: no room in the kernel's tables for its policies");
    }
    if !kernel.unplaced.is_empty() {
        let _ = writeln!(
            out,
            "{BAD}no room:{BAD:#} {} addresses or prefixes, the first is {}: nothing passes between them and this node's pods; raise --capacity-addresses",
            kernel.unplaced.len(),
            kernel.unplaced[0]
        );
    }
    sources(&mut out, &status.sources);
    pods(&mut out, &status.pods);
    let denied: u64 = kernel.denied.values().sum();
    let _ = writeln!(
        out,
        "{BOLD}kernel{BOLD:#}    {} backend: {} pods, {} classes, {} verdict tables; {} publications, the last took {} us",
        status.backend,
        kernel.pods,
        kernel.classes,
        kernel.programs,
        kernel.publications,
        kernel.last_publication_micros
    );
    if !status.without_bpf.is_empty() {
        let _ = writeln!(out, "          {FAINT}not BPF: {}{FAINT:#}", status.without_bpf);
    }
    if !status.untold.is_empty() {
        let _ = writeln!(out, "          {FAINT}not told: {}{FAINT:#}", status.untold.join("; "));
    }
    let _ = writeln!(
        out,
        "{BOLD}packets{BOLD:#}   {} judged, {denied} denied{}",
        kernel.packets,
        reasons(status)
    );
    if kernel.events_lost > 0 {
        let _ = writeln!(
            out,
            "{WARN}events lost:{WARN:#} {}: the kernel's buffer was full; records of flows are incomplete, verdicts are not touched",
            kernel.events_lost
        );
    }
    if kernel.answers + kernel.answers_lost > 0 {
        let _ = writeln!(out, "{BOLD}DNS{BOLD:#}       {} answers of name servers read", kernel.answers);
    }
    if kernel.answers_lost > 0 {
        let _ = writeln!(
            out,
            "{WARN}answers lost:{WARN:#} {}: the kernel's buffer was full; what rules with domainNames allow may open late",
            kernel.answers_lost
        );
    }
    for (kind, count) in &kernel.repairs {
        let _ = writeln!(out, "{WARN}repaired:{WARN:#} {kind}, {count} times: somebody undid enforcement");
    }
    out
}

fn headline(out: &mut String, status: &Status) {
    let (style, word) = match (status.enforcing, status.synced) {
        (true, true) => (GOOD, "enforcing"),
        (true, false) => {
            (WARN, "enforcing what was known before; the API server has not listed everything yet")
        }
        (false, _) => (BAD, "not enforcing yet"),
    };
    let adopted = if status.adopted { ", took over from an earlier agent" } else { "" };
    let _ = writeln!(
        out,
        "{BOLD}{}{BOLD:#}: {style}{word}{style:#} {FAINT}(podgate {}, cluster {}, up {} s{adopted}){FAINT:#}",
        status.node, status.version, status.cluster, status.uptime_seconds
    );
    let _ = writeln!(
        out,
        "{BOLD}policies{BOLD:#}  {} in the cluster, {} of them may judge pods of this node",
        status.policies, status.policies_here
    );
    if status.staged > 0 {
        let _ = writeln!(
            out,
            "{BOLD}staged{BOLD:#}    {} policies are only watched, and decide nothing",
            status.staged
        );
    }
}

fn sources(out: &mut String, sources: &[SourceStatus]) {
    let followed: Vec<&str> = sources
        .iter()
        .filter(|source| source.synced && !source.absent && source.interrupted.is_empty())
        .map(|source| source.resource.as_str())
        .collect();
    let _ = writeln!(out, "{BOLD}followed{BOLD:#}  {}", followed.join(", "));
    let absent: Vec<&str> =
        sources.iter().filter(|source| source.absent).map(|source| source.resource.as_str()).collect();
    if !absent.is_empty() {
        let _ = writeln!(out, "          {FAINT}not installed: {}{FAINT:#}", absent.join(", "));
    }
    for source in sources.iter().filter(|source| !source.interrupted.is_empty()) {
        let _ = writeln!(
            out,
            "{WARN}interrupted:{WARN:#} {}: {} (what is in the kernel stays in force)",
            source.resource, source.interrupted
        );
    }
    for source in sources.iter().filter(|source| !source.synced && source.interrupted.is_empty()) {
        let _ = writeln!(out, "{WARN}not listed yet:{WARN:#} {}", source.resource);
    }
}

fn pods(out: &mut String, pods: &[PodStatus]) {
    let in_state = |state: &str| pods.iter().filter(|pod| pod.state == state).count();
    let _ = writeln!(
        out,
        "{BOLD}pods{BOLD:#}      {} here: {} in force, {} closed, {} waiting, {} exempt",
        pods.len(),
        in_state("in-force"),
        in_state("closed"),
        in_state("waiting"),
        in_state("exempt")
    );
    let (fine, other): (Vec<_>, Vec<_>) =
        pods.iter().partition(|pod| matches!(pod.state.as_str(), "in-force" | "exempt"));
    for pod in other.iter().chain(fine.iter().take(MOST_PODS)) {
        let isolated = match (pod.ingress_isolated, pod.egress_isolated) {
            (true, true) => "isolated both ways",
            (true, false) => "isolated for ingress",
            (false, true) => "isolated for egress",
            (false, false) => "not isolated",
        };
        let isolated = if pod.state == "exempt" { "" } else { isolated };
        let ips = pod.ips.join(" ");
        let line = format!("  {:<9} {}/{}  {ips}  {isolated}", pod.state, pod.namespace, pod.name);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if fine.len() > MOST_PODS {
        let _ =
            writeln!(out, "  {FAINT}and {} more; -o json names them all{FAINT:#}", fine.len() - MOST_PODS);
    }
}

fn reasons(status: &Status) -> String {
    let reasons = status.kernel.denied.iter().filter(|(_, count)| **count > 0);
    let texts: Vec<String> = reasons.map(|(reason, count)| format!("{reason} {count}")).collect();
    if texts.is_empty() { String::new() } else { format!(" ({})", texts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use podgate_agent::KernelStatus;

    use super::*;

    #[test]
    fn what_the_kernel_had_no_room_to_tell_is_said_and_nothing_is_when_all_is_told() {
        let shown = |kernel| text(&Status { kernel, ..Status::default() });
        let plain = shown(KernelStatus::default());
        assert!(!plain.contains("lost") && !plain.contains("DNS"), "{plain}");
        let lossy =
            shown(KernelStatus { events_lost: 3, answers: 7, answers_lost: 2, ..KernelStatus::default() });
        for words in ["3: the kernel's buffer", "7 answers of name servers", "2: the kernel's buffer"] {
            assert!(lossy.contains(words), "{words} is not in\n{lossy}");
        }
    }
}
