//! Who the agents are to the API server, and what they may ask of it.

/// The manifest of podgate for any cluster.
const MANIFEST: &str = include_str!("../../../deploy/manifests/podgate.yaml");

/// What of it says who may do what. The agents' processes are the lab's own.
const KINDS: [&str; 4] =
    ["kind: Namespace", "kind: ServiceAccount", "kind: ClusterRole", "kind: ClusterRoleBinding"];

/// The arguments of kubectl that make an agent's token.
pub(crate) const TOKEN: [&str; 6] = [
    "--namespace=podgate-system",
    "create",
    "token",
    "podgate",
    "--duration=24h",
    "--output=jsonpath={.status.token}",
];

/// The agents' service account and role, as manifests.
pub(crate) fn rights() -> String {
    let documents = MANIFEST.split("\n---\n");
    let wanted = documents.filter(|text| text.lines().any(|line| KINDS.contains(&line)));
    wanted.collect::<Vec<_>>().join("\n---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_are_all_kinds_that_give_some() {
        let rights = rights();
        for kind in KINDS {
            assert!(rights.lines().any(|line| line == kind), "{kind} in {rights}");
        }
        assert!(!rights.contains("DaemonSet"));
    }
}
