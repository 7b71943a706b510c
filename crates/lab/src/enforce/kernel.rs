//! The nodes' kernels: one datapath for each node, in the node's network namespace.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use podgate_datapath::{
    BpfDatapath, Datapath, DnsAnswers, DnsMessage, EdgeTotal, Event, Mode, Options, PublishReport,
};
use podgate_flow::Losses;
use podgate_policy::{Cluster, Delta};

use super::protocol::NodeStatus;
use crate::error::{Error, Result};
use crate::netns;
use crate::plan::{NodePlan, Plan};
use crate::state::Lab;
use crate::up::remove_pins;

/// All nodes of the lab.
pub(super) struct Kernels {
    nodes: Vec<Kernel>,
    mode: Mode,
}

struct Kernel {
    node: Arc<str>,
    datapath: BpfDatapath,
    adopted: bool,
    /// The kernel's state isn't known: publish all of it.
    needs_full: bool,
    /// Something was put off by the last publication.
    is_settling: bool,
    report: PublishReport,
    events_lost: u64,
}

impl Kernels {
    /// Attaches to every node of the plan, or takes over what an earlier daemon left there.
    pub(super) fn open(lab: &Lab, plan: &Plan, mode: Mode) -> Result<Kernels> {
        let mut kernels = Kernels { nodes: Vec::new(), mode };
        kernels.follow(lab, plan)?;
        Ok(kernels)
    }

    /// Attaches to nodes that are new in the plan, and lets go of those that are gone. `true` when there
    /// are new ones.
    pub(super) fn follow(&mut self, lab: &Lab, plan: &Plan) -> Result<bool> {
        self.nodes.retain(|kernel| plan.nodes.iter().any(|node| *node.name == *kernel.node));
        let mut is_new = false;
        for node in &plan.nodes {
            match self.nodes.iter_mut().find(|kernel| *kernel.node == *node.name) {
                Some(kernel) => kernel.set_pod_cidrs(node)?,
                None => {
                    self.nodes.push(Kernel::open(lab, node, self.mode)?);
                    is_new = true;
                }
            }
        }
        Ok(is_new)
    }

    /// Makes a change current on every node. All nodes are tried; the error tells of the first that failed.
    pub(super) fn publish(&mut self, cluster: &Cluster, delta: &Delta) -> Result<()> {
        let mut failed = None;
        let mut whole = None;
        for kernel in &mut self.nodes {
            let mut published = match kernel.needs_full {
                true => Err(podgate_datapath::Error::NeedsFull),
                false => kernel.datapath.publish(cluster, delta),
            };
            if matches!(published, Err(podgate_datapath::Error::NeedsFull)) {
                let whole = whole.get_or_insert_with(|| cluster.whole());
                published = kernel.datapath.publish_full(cluster, whole);
            }
            kernel.needs_full = published.is_err();
            kernel.is_settling = true;
            match published {
                Ok(report) => kernel.report = report,
                Err(error) => {
                    failed.get_or_insert(Error::message(format!("publish to node {}: {error}", kernel.node)));
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether some node's kernel isn't current.
    pub(super) fn is_behind(&self) -> bool {
        self.nodes.iter().any(|kernel| kernel.needs_full)
    }

    /// Does what publishing has put off.
    pub(super) fn settle(&mut self) -> Result<()> {
        for kernel in self.nodes.iter_mut().filter(|kernel| kernel.is_settling) {
            let settled = kernel.datapath.settle();
            // Asked again after the next publication, not a hundred times a second.
            kernel.is_settling = settled.as_ref().is_ok_and(|is_done| !is_done);
            settled.map_err(|e| Error::message(format!("clean up on node {}: {e}", kernel.node)))?;
        }
        Ok(())
    }

    /// Restores what others have undone.
    pub(super) fn reassert(&mut self) -> Result<()> {
        for kernel in &mut self.nodes {
            let restored = kernel.datapath.reassert();
            restored
                .map_err(|e| Error::message(format!("restore enforcement on node {}: {e}", kernel.node)))?;
        }
        Ok(())
    }

    /// Hands over all nodes' events.
    pub(super) fn poll_events(&mut self, mut sink: impl FnMut(&Arc<str>, Event)) -> Result<()> {
        for kernel in &mut self.nodes {
            let node = &kernel.node;
            let polled = kernel.datapath.poll_events(&mut |event| sink(node, event));
            polled.map_err(|e| Error::message(format!("read events of node {node}: {e}")))?;
        }
        Ok(())
    }

    /// Hands over what name servers answered to all nodes' pods.
    pub(super) fn poll_answers(&mut self, mut sink: impl FnMut(DnsMessage)) -> Result<()> {
        for kernel in &mut self.nodes {
            let polled = kernel.datapath.poll_answers(&mut sink);
            polled.map_err(|e| Error::message(format!("read DNS answers on node {}: {e}", kernel.node)))?;
        }
        Ok(())
    }

    /// Hands over what all nodes have counted.
    pub(super) fn take_totals(&mut self, mut sink: impl FnMut(&Arc<str>, EdgeTotal)) -> Result<()> {
        for kernel in &mut self.nodes {
            let node = &kernel.node;
            let taken = kernel.datapath.take_totals(&mut |total| sink(node, total));
            taken.map_err(|e| Error::message(format!("read totals of node {node}: {e}")))?;
        }
        Ok(())
    }

    /// Ends what these kernels do, for good.
    pub(super) fn remove(self, lab: &Lab, plan: &Plan) -> Result<()> {
        drop(self.nodes);
        plan.nodes.iter().try_for_each(|node| remove_pins(&pin_dir(lab, &node.netns, self.mode)))
    }

    /// The losses of all kernels since they were loaded.
    pub(super) fn losses(&self) -> Losses {
        let counters = self.nodes.iter().filter_map(|kernel| kernel.datapath.counters().ok());
        counters.fold(Losses::default(), |losses, counters| Losses {
            kernel: losses.kernel + counters.events_lost,
            suppressed: losses.suppressed + counters.events_suppressed,
            ..losses
        })
    }

    /// How many events the kernels lost since this was last asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        let mut lost = 0;
        for kernel in &mut self.nodes {
            let Ok(counters) = kernel.datapath.counters() else { continue };
            let events_lost = counters.events_lost;
            lost += events_lost.saturating_sub(std::mem::replace(&mut kernel.events_lost, events_lost));
        }
        lost
    }

    /// How every node is.
    pub(super) fn status(&self) -> Vec<NodeStatus> {
        let status = |kernel: &Kernel| {
            let counters = kernel.datapath.counters().unwrap_or_default();
            NodeStatus {
                node: kernel.node.to_string(),
                adopted: kernel.adopted,
                packets: counters.packets,
                allowed: counters.allowed,
                denied: counters.denied_total(),
                events: counters.events_submitted,
                events_lost: counters.events_lost,
                events_suppressed: counters.events_suppressed,
                closed: kernel.report.closed.iter().map(ToString::to_string).collect(),
            }
        };
        self.nodes.iter().map(status).collect()
    }
}

/// Where a node's programs and tables are pinned.
fn pin_dir(lab: &Lab, netns: &str, mode: Mode) -> PathBuf {
    // The namespace's name, unlike the node's, has no dots, which a bpffs refuses.
    match mode {
        Mode::Enforce => lab.bpffs().join(netns),
        Mode::Observe { .. } => lab.bpffs().join(format!("{netns}-staged")),
    }
}

impl Kernel {
    fn open(lab: &Lab, node: &NodePlan, mode: Mode) -> Result<Kernel> {
        let mut options = Options::new(node.name.as_str(), pin_dir(lab, &node.netns, mode));
        options.mode = mode;
        options.totals = options.totals.filter(|_| mode == Mode::Enforce);
        options.answers = (mode == Mode::Enforce).then(DnsAnswers::default);
        options.netns = Some(netns::path(&node.netns));
        options.pod_cidrs = node.pod_cidrs.clone();
        let datapath = BpfDatapath::open(options)
            .map_err(|error| Error::message(format!("enforce on node {}: {error}", node.name)))?;
        Ok(Kernel {
            node: node.name.as_str().into(),
            adopted: datapath.is_attached(),
            events_lost: datapath.counters().map(|counters| counters.events_lost).unwrap_or_default(),
            datapath,
            needs_full: true,
            is_settling: true,
            report: PublishReport::default(),
        })
    }

    fn set_pod_cidrs(&mut self, node: &NodePlan) -> Result<()> {
        let taken = self.datapath.set_pod_cidrs(&node.pod_cidrs);
        taken.map_err(|error| Error::message(format!("enforce on node {}: {error}", self.node)))
    }
}

/// How long a node's kernel may go unchecked for what others undo.
pub(super) const REASSERT_EVERY: Duration = Duration::from_secs(10);
