//! What the agent answers: to plugins, to people, and about policies.

use super::*;

use podgate_api::ObjectKey;
use podgate_cni::Request;
use podgate_datapath::Reason;
use podgate_kube::EventAbout;

use crate::metrics::CallLabels;
use crate::status::{Fault, KernelStatus, PodStatus, SourceStatus, untold};

/// The longest that a pod waits, whatever its plugin says.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

impl Agent {
    // === the CNI plugin ===

    pub(super) fn answer_call(&mut self, Call { request, reply }: Call, watching: &Watching) {
        let (command, answer) = match request {
            Request::Add { attachment, pod, ips, patience_ms } => {
                let now = Instant::now();
                let claim = Claim { attachment, pod, ips };
                // On disk first: an agent that dies now finds it again.
                if let Err(error) = self.claims.keep(&claim) {
                    let why = format!("the pod's addresses can't be remembered: {error}");
                    drop(reply.send(refused(true, why, "see whether the agent's run directory is writable")));
                    self.count_call("add", "refused");
                    return;
                }
                claim.ips.iter().for_each(|ip| self.observer.touch(*ip));
                self.inventory.claim_addresses(claim.clone(), &mut self.gate.cluster);
                self.staging
                    .also(|inventory, gate| inventory.claim_addresses(claim.clone(), &mut gate.cluster));
                self.heard.get_or_insert(now);
                let until = now + Duration::from_millis(patience_ms).min(LONGEST_WAIT);
                self.waiting.push(Waiting { claim, since: now, until, reply });
                return;
            }
            Request::Check { attachment, ips } => ("check", self.check(&attachment, &ips)),
            Request::Delete { attachment } => ("delete", self.give_back(&attachment)),
            Request::Collect { valid } => {
                let gone = self.inventory.stale(&valid);
                let answers = gone.iter().map(|attachment| self.give_back(attachment));
                let failed = answers.filter(|answer| *answer != Reply::Done).last();
                // The runtime has cleaned up behind somebody's back: pods may have gone unheard as well.
                if !gone.is_empty() {
                    watching.resync(Watched::Pods);
                }
                ("collect", failed.unwrap_or(Reply::Done))
            }
            Request::Status => {
                let unready = self.unready();
                let answer = match unready.is_empty() {
                    true => Reply::Done,
                    false => refused(true, unready, "pods can start when the agent is ready"),
                };
                ("status", answer)
            }
        };
        self.count_call(command, if answer == Reply::Done { "done" } else { "refused" });
        drop(reply.send(answer));
    }

    fn count_call(&self, command: &'static str, result: &'static str) {
        self.metrics.cni.get_or_create(&CallLabels { command, result }).inc();
    }

    fn check(&self, attachment: &podgate_cni::Attachment, ips: &[IpAddr]) -> Reply {
        let Some(claim) = self.inventory.claim(attachment) else {
            return refused(false, "the agent has never heard of this container", "delete the pod");
        };
        match ips.iter().find(|ip| !claim.ips.contains(ip) || self.gate.in_force(**ip) != InForce::Yes) {
            None => Reply::Done,
            Some(ip) => {
                refused(true, format!("the policies of {ip} are not in force"), "see `podgate status`")
            }
        }
    }

    fn give_back(&mut self, attachment: &podgate_cni::Attachment) -> Reply {
        self.waiting.retain(|waiting| waiting.claim.attachment != *attachment);
        self.staging.also(|inventory, gate| {
            inventory.give_back(attachment, &mut gate.cluster);
        });
        if self.inventory.give_back(attachment, &mut self.gate.cluster) {
            self.heard.get_or_insert_with(Instant::now);
        }
        match self.claims.forget(attachment) {
            Ok(()) => Reply::Done,
            Err(error) => refused(true, format!("a claim can't be removed: {error}"), ""),
        }
    }

    /// Lets pods start whose policies are in the kernel, and refuses those that have waited long enough.
    pub(super) fn answer_waiting(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        let waiting = std::mem::take(&mut self.waiting);
        for pod in waiting {
            let answer = match self.holds_back(&pod.claim) {
                None => {
                    self.metrics.cni_add.observe(pod.since.elapsed().as_secs_f64());
                    self.count_call("add", "done");
                    Reply::Done
                }
                Some((why, help)) if now >= pod.until => {
                    self.count_call("add", "refused");
                    // The runtime takes the sandbox down, and may do so without another word.
                    self.give_back(&pod.claim.attachment);
                    refused(true, why, help)
                }
                Some(_) => {
                    // The plugin went away: its runtime will try again.
                    if pod.reply.is_closed() {
                        self.give_back(&pod.claim.attachment);
                    } else {
                        self.waiting.push(pod);
                    }
                    continue;
                }
            };
            drop(pod.reply.send(answer));
        }
    }

    /// Why a pod can't start yet, and what to do about it; `None`: it can.
    fn holds_back(&self, claim: &Claim) -> Option<(String, &'static str)> {
        let missing: Vec<&str> = self.inventory.missing().map(Watched::resource).collect();
        if !missing.is_empty() {
            return Some((
                format!("the API server has not listed yet: {}", missing.join(", ")),
                "see whether the node reaches the API server, and `podgate status`",
            ));
        }
        if let why @ 1.. = self.gate.failure().len() {
            return Some((
                format!("the kernel refuses the pod's policies: {}", &self.gate.failure()[..why]),
                "run `podgate doctor` on the node",
            ));
        }
        let (namespace, name) = (&claim.pod.namespace, &claim.pod.name);
        let local = self.inventory.local_pod(namespace, name).filter(|local| is_of(claim, &local.pod));
        let Some(local) = local else {
            return Some((
                format!("the API server has not told of pod {namespace}/{name} on this node yet"),
                "see whether the node reaches the API server, and whether --node-name is right",
            ));
        };
        match self.in_force(local) {
            _ if !local.is_judged() => None,
            InForce::Yes => None,
            InForce::Closed => Some((
                "the kernel's tables have no room for the pod's policies".to_owned(),
                "raise --capacity-rows or --capacity-addresses of the agent; see its metrics",
            )),
            InForce::No => Some(("the pod's policies are not in the kernel yet".to_owned(), "")),
        }
    }

    // === policies ===

    pub(super) fn tell_policy(&mut self, what: Watched, name: &str, uid: &str, generation: i64, fault: &str) {
        if !feedback::is_teller(&self.options.node, self.inventory.nodes(), uid) {
            return;
        }
        if let Some(condition) = self.said.policy(uid, generation, fault) {
            self.write(Write::PolicyCondition { what, name: name.to_owned(), generation, condition });
        }
    }

    pub(super) fn tell_fault(&mut self, what: Watched, key: &ObjectKey, reason: &'static str, message: &str) {
        let name = key.to_string();
        if !feedback::is_teller(&self.options.node, self.inventory.nodes(), &name) {
            return;
        }
        let api_version = match what {
            Watched::NetworkPolicies => "networking.k8s.io/v1",
            Watched::ClusterNetworkPolicies => "policy.networking.k8s.io/v1alpha2",
            Watched::AdminNetworkPolicies | Watched::BaselineAdminNetworkPolicies => {
                "policy.networking.k8s.io/v1alpha1"
            }
            _ => "v1",
        };
        let about = EventAbout {
            api_version: api_version.to_owned(),
            kind: key.kind.to_owned(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: String::new(),
            reporter: self.options.node.clone(),
        };
        self.write(Write::Event { about, reason, note: message.to_owned() });
    }

    // === status ===

    pub(super) fn state_name(&self, local: &LocalPod) -> &'static str {
        match self.in_force(local) {
            _ if !local.is_judged() => "exempt",
            InForce::Yes => "in-force",
            InForce::Closed => "closed",
            InForce::No => "waiting",
        }
    }

    pub(super) fn status(&self) -> Status {
        let sources = self.sources.iter().map(|(what, source)| SourceStatus {
            resource: what.resource().to_owned(),
            synced: self.inventory.missing().all(|missing| missing != *what),
            absent: source.is_absent,
            interrupted: source.interrupted.clone(),
            interruptions: source.interruptions,
            news: source.news,
        });
        let pods = self.inventory.local_pods().map(|((namespace, name), local)| {
            let identities = || local.ips.iter().filter_map(|ip| self.gate.cluster.identity(*ip));
            PodStatus {
                namespace: namespace.clone(),
                name: name.clone(),
                ips: local.ips.iter().map(ToString::to_string).collect(),
                state: self.state_name(local).to_owned(),
                egress_isolated: identities().any(|identity| identity.egress.is_some()),
                ingress_isolated: identities().any(|identity| identity.ingress.is_some()),
            }
        });
        let faults = self.faults.iter().map(|(object, fault)| Fault {
            object: object.clone(),
            message: format!("{}: {}", fault.what.resource(), fault.message),
        });
        let mut failures: Vec<String> =
            self.failures.iter().map(|(step, why)| format!("{step}: {why}")).collect();
        if !self.gate.failure().is_empty() {
            failures.push(format!("publish: {}", self.gate.failure()));
        }
        if let Some(why) = self.staging.failure() {
            failures.push(format!("staged policies are not evaluated: {why}"));
        }
        let (policies, policies_here) = self.inventory.policies();
        Status {
            node: self.options.node.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.cluster.clone(),
            backend: self.gate.backend().to_string(),
            without_bpf: self.without_bpf.clone(),
            untold: untold(&self.gate.capabilities()).into_iter().map(str::to_owned).collect(),
            uptime_seconds: self.started.elapsed().as_secs(),
            adopted: self.adopted,
            enforcing: self.gate.is_attached(),
            synced: self.inventory.is_synced(),
            sources: sources.collect(),
            pods: pods.collect(),
            policies,
            policies_here,
            staged: self.staging.count(),
            faults: faults.collect(),
            kernel: self.kernel_status(),
            failures,
        }
    }

    fn kernel_status(&self) -> KernelStatus {
        let counters = self.gate.counters().unwrap_or_default();
        let (publications, last) = self.gate.publications();
        let size = self.gate.cluster.size();
        let report = self.gate.report();
        let denied =
            Reason::ALL.into_iter().map(|reason| (reason.name().to_owned(), counters.denied_for(reason)));
        let prefixes = report.unplaced_prefixes.iter().map(ToString::to_string);
        KernelStatus {
            pods: size.pods,
            classes: size.classes,
            programs: size.programs,
            publications,
            last_publication_micros: last.as_micros() as u64,
            closed: report.closed.iter().map(ToString::to_string).collect(),
            unplaced: report.unplaced.iter().map(ToString::to_string).chain(prefixes).collect(),
            packets: counters.packets,
            allowed: counters.allowed,
            denied: denied.collect(),
            events_lost: counters.events_lost,
            answers: counters.answers_submitted,
            answers_lost: counters.answers_lost,
            repairs: self.repairs.iter().map(|(repair, count)| (repair.name().to_owned(), *count)).collect(),
        }
    }
}
