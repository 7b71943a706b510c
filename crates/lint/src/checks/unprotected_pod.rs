#![doc = include_str!("../../../../docs/book/src/checks/unprotected-pod.md")]

use podgate_analysis::{PodId, PortSet, Workload};
use podgate_policy::Direction;

use crate::context::{Context, data_store, word};
use crate::finding::ObjectRef;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "unprotected-pod",
    severity: Severity::Warning,
    title: "A pod that no policy isolates, among pods that are isolated",
    why: "Policies isolate the pods that they select and no others: every pod of the cluster reaches this one on \
          every port.",
    page: include_str!("../../../../docs/book/src/checks/unprotected-pod.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    for direction in [Direction::Ingress, Direction::Egress] {
        for (_, open) in by_namespace(context, direction) {
            // One policy for the egress of one workload is no rule for the others.
            let is_rule = match direction {
                Direction::Ingress => open.isolated > 0,
                Direction::Egress => open.limits_most(),
            };
            if !is_rule {
                continue;
            }
            for workload in open.workloads {
                tell(context, findings, workload, direction);
            }
        }
    }
}

/// The workloads of a namespace that nothing protects.
pub(super) struct Open<'w> {
    pub workloads: Vec<&'w Workload>,
    /// How many workloads a NetworkPolicy isolates.
    pub isolated: usize,
    /// Pods of the namespace that don't exist yet are open too.
    pub newcomers: bool,
    /// How many workloads there are.
    pub count: usize,
}

impl Open<'_> {
    /// Whether most workloads are isolated.
    pub fn limits_most(&self) -> bool {
        self.isolated * 2 > self.count
    }
}

/// Namespaces with pods, and what is open there in a direction; system namespaces are left out.
pub(super) fn by_namespace<'w>(context: &Context<'w>, direction: Direction) -> Vec<(&'w str, Open<'w>)> {
    let mut found: Vec<(&str, Open<'w>)> = Vec::new();
    for workload in context.world.workloads.iter().filter(|w| w.hypothesis.is_none() && !w.host_network) {
        if context.is_system(&workload.namespace) || workload.name.starts_with('[') {
            continue;
        }
        if found.last().is_none_or(|(name, _)| *name != workload.namespace) {
            let newcomers =
                context.newcomer(&workload.namespace).is_some_and(|pod| is_open(context, pod, direction));
            let open = Open { workloads: Vec::new(), isolated: 0, newcomers, count: 0 };
            found.push((&workload.namespace, open));
        }
        let (_, open) = found.last_mut().expect("just put there");
        open.count += 1;
        let is_isolated = |pod: &PodId| context.is_isolated(*pod, direction);
        if workload.pods.iter().all(is_isolated) {
            open.isolated += 1;
        } else if workload.pods.iter().any(|pod| !is_isolated(pod) && is_open(context, *pod, direction)) {
            open.workloads.push(workload);
        }
    }
    found
}

/// Whether anybody may talk with a pod: cluster-scoped policies protect as well.
fn is_open(context: &Context<'_>, pod: PodId, direction: Direction) -> bool {
    let Some(stranger) = context.stranger() else { return !context.is_judged(pod, direction) };
    let ports = match direction {
        Direction::Ingress => context.reaches(stranger, pod),
        Direction::Egress => context.reaches(pod, stranger),
    };
    PortSet::named_protocols().is_subset(&ports)
}

fn tell(context: &Context<'_>, findings: &mut Findings<'_>, workload: &Workload, direction: Direction) {
    let object = ObjectRef {
        kind: workload.kind.clone(),
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
    };
    let title = format!("{}/{}", workload.namespace, workload.name);
    let message = match direction {
        Direction::Ingress => {
            let what = stores(context, workload.pods[0]);
            format!(
                "{title}{what} is open: no policy isolates its {}, so every pod of the cluster reaches it",
                word(direction)
            )
        }
        Direction::Egress => format!("{title} may call anybody: no policy limits its {}", word(direction)),
    };
    let source = context.name_of_workload(workload);
    let severity = if direction == Direction::Ingress { Severity::Warning } else { Severity::Info };
    findings.report(&source, object, message).severity(severity).fix(
        format!("close {} and allow what is meant", workload.namespace),
        default_deny(&workload.namespace, &[direction]),
    );
}

/// ` (PostgreSQL on TCP 5432)`, where strangers have no business.
pub(super) fn stores(context: &Context<'_>, pod: PodId) -> String {
    let ports = &context.world.pod_object(pod).ports;
    let found = ports.iter().find_map(|port| Some((data_store(port.protocol, port.port)?, port)));
    found.map_or_else(String::new, |(what, port)| format!(" ({what} on {} {})", port.protocol, port.port))
}

/// A policy that isolates all pods of a namespace.
pub(super) fn default_deny(namespace: &str, directions: &[Direction]) -> String {
    let types: Vec<&str> = directions
        .iter()
        .map(|direction| if *direction == Direction::Ingress { "Ingress" } else { "Egress" })
        .collect();
    format!(
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: {namespace}
spec:
  podSelector: {{}}
  policyTypes: [{}]
",
        types.join(", ")
    )
}
