#![doc = include_str!("../../../../docs/book/src/checks/namespace-without-default-deny.md")]

use std::collections::BTreeMap;

use podgate_policy::Direction;

use super::unprotected_pod::{Open, by_namespace, default_deny, stores};
use crate::context::Context;
use crate::finding::ObjectRef;
use crate::text;
use crate::{CheckInfo, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "namespace-without-default-deny",
    severity: Severity::Warning,
    title: "A namespace whose pods are open unless somebody thinks of them",
    why: "Without a policy that isolates all pods of a namespace, what is not thought of is open: a new workload, \
          a renamed label, a debugging pod.",
    page: include_str!("../../../../docs/book/src/checks/namespace-without-default-deny.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    let egress: BTreeMap<&str, Open<'_>> = by_namespace(context, Direction::Egress).into_iter().collect();
    // Where few limit egress, nobody forgot it.
    let limiting = egress.values().filter(|open| open.limits_most()).count();
    let limits_egress = limiting > 0 && limiting * 2 >= egress.len();
    for (namespace, open) in by_namespace(context, Direction::Ingress) {
        let egress_open =
            limits_egress && egress.get(namespace).is_some_and(|open| open.newcomers && open.isolated == 0);
        if !open.newcomers && !egress_open {
            continue;
        }
        // Workloads that are open among others are told of one by one.
        let told = open.isolated > 0 && !open.workloads.is_empty();
        let (message, severity, directions): (String, Severity, &[Direction]) = if !open.newcomers {
            let message = format!("no policy limits whom the pods of {namespace} call, as it does elsewhere");
            (message, Severity::Info, &[Direction::Egress])
        } else if told {
            continue;
        } else if open.workloads.is_empty() {
            let message = format!(
                "{namespace} has no default deny: its workloads are isolated, a new one would be open"
            );
            (message, Severity::Info, &[Direction::Ingress])
        } else {
            let stores: Vec<String> = open
                .workloads
                .iter()
                .filter_map(|workload| {
                    let what = stores(context, workload.pods[0]);
                    (!what.is_empty()).then(|| format!("{}{what}", workload.name))
                })
                .collect();
            let mut message = format!(
                "no policy isolates the pods of {namespace}: every pod of the cluster reaches {}",
                match open.workloads.len() {
                    1 => format!("{namespace}/{}", open.workloads[0].name),
                    many => format!("its {many} workloads"),
                }
            );
            if !stores.is_empty() {
                message.push_str(&format!(", {} among them", text::list(&stores)));
            }
            (message, Severity::Warning, &[Direction::Ingress])
        };
        let declared = context.world.namespaces.iter().find(|object| object.meta.name == namespace);
        let first =
            context.world.workloads.iter().find(|w| w.namespace == namespace && w.hypothesis.is_none());
        let source = match (declared, first) {
            (Some(object), _) => context.name_of(&object.meta),
            (None, Some(workload)) => context.name_of_workload(workload),
            (None, None) => continue,
        };
        let object =
            ObjectRef { kind: "Namespace".to_owned(), namespace: String::new(), name: namespace.to_owned() };
        findings.report(&source, object, message).severity(severity).fix(
            format!("close {namespace}, then allow what is meant (`podgate suggest` writes these policies)"),
            default_deny(namespace, directions),
        );
    }
}
