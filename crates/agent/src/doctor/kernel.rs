//! The kernel, and what this process may do with it.

use podgate_datapath::Capabilities;
use rustix::fs::statfs;

use super::{Finding, Node};
use crate::status::untold;

const BPFFS_MAGIC: u64 = 0xcafe_4a11;
/// Bits of the capabilities that the agent needs, as in `/proc/self/status`.
const CAPABILITIES: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON"), (39, "CAP_BPF")];

/// The release, as two numbers.
fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn version(node: &Node) -> Finding {
    const CHECK: &str = "kernel";
    let text = node.text("sys/kernel/osrelease").unwrap_or_default();
    let text = text.trim();
    match release(text) {
        None => Finding::warning(CHECK, format!("unknown release `{text}`"), "see whether BPF loads, below"),
        Some(release) if release < (6, 4) => Finding::warning(
            CHECK,
            format!("{text}: netfilter programs came with 6.4"),
            "the agent uses nftables instead (--backend auto); an upgrade makes BPF possible",
        ),
        Some(release) if release < (6, 12) => Finding::warning(
            CHECK,
            format!(
                "{text}: before 6.12 (and 6.6.59) a program that is still attached can keep a deleted network namespace in memory"
            ),
            "no harm in the host's network; upgrade when you can",
        ),
        Some(_) => Finding::ok(CHECK, text),
    }
}

pub(super) fn bpf() -> Finding {
    const CHECK: &str = "bpf";
    match podgate_datapath::probe() {
        Ok(()) => Finding::ok(CHECK, "netfilter programs load and attach"),
        // All is enforced without it.
        Err(error) => Finding::warning(
            CHECK,
            format!("{error}: nftables enforces instead"),
            format!(
                "nftables doesn't tell: {}; `podgate status` says which of both enforces",
                untold(&Capabilities::NFT).join("; ")
            ),
        ),
    }
}

pub(super) fn capabilities(node: &Node) -> Finding {
    const CHECK: &str = "capabilities";
    let status = node.text("self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(bits) = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else {
        return Finding::warning(CHECK, "this process's capabilities can't be read", "");
    };
    let missing: Vec<&str> =
        CAPABILITIES.into_iter().filter(|(bit, _)| bits >> bit & 1 == 0).map(|(_, name)| name).collect();
    match missing.is_empty() {
        true => Finding::ok(CHECK, "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are there"),
        false => Finding::error(
            CHECK,
            format!("missing: {}", missing.join(", ")),
            "run this as root, or add them to the container's securityContext",
        ),
    }
}

pub(super) fn bpf_file_system(node: &Node) -> Finding {
    const CHECK: &str = "bpffs";
    let parent = node.pin_dir.parent().unwrap_or(&node.pin_dir);
    match statfs(parent) {
        Ok(found) if found.f_type as u64 == BPFFS_MAGIC => {
            Finding::ok(CHECK, format!("{} is a BPF file system", parent.display()))
        }
        Ok(_) => Finding::error(
            CHECK,
            format!(
                "{} is not a BPF file system: what is in the kernel could not outlive the agent",
                parent.display()
            ),
            format!("mount -t bpf bpf {}", parent.display()),
        ),
        Err(error) => Finding::error(
            CHECK,
            format!("{}: {error}", parent.display()),
            "mount the host's /sys/fs/bpf into the container",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases_are_read_however_distributions_decorate_them() {
        let cases = [
            ("6.18.0", Some((6, 18))),
            ("6.1.0-28-cloud-amd64", Some((6, 1))),
            ("5.15.0-1078-aws", Some((5, 15))),
            ("6.6.52+rpt", Some((6, 6))),
            ("", None),
            ("none", None),
        ];
        for (text, expected) in cases {
            assert_eq!(release(text), expected, "{text}");
        }
    }
}
