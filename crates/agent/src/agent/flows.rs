//! What went over this node's network, and what decided it.

use super::*;

use podgate_api::Object;
use podgate_datapath::Counters;
use podgate_flow::Losses;
use podgate_observe::wall_clock;

impl Agent {
    /// Makes records of what the kernel has told since the last time.
    pub(super) fn watch_flows(&mut self) {
        let Agent { gate, observer, node, .. } = self;
        let polled = gate.poll_events(&mut |event, cluster| observer.event(node, &event, cluster));
        // After the enforcing program's events: the staged one's of the same packets are there by then.
        self.staging.watch(&mut self.observer, &self.node);
        self.note("events", polled.map(drop));
        let (records, minutes) = self.observer.turn(wall_clock(), &self.gate.cluster);
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(&records, &minutes, &self.gate.cluster);
        }
        self.exports.append_edges(&minutes);
        self.metrics.flows.recorded(&records);
    }

    /// Adds up what the kernel has counted since the last time.
    pub(super) fn count_flows(&mut self) {
        let Agent { gate, observer, node, metrics, .. } = self;
        let taken = gate.take_totals(&mut |total, cluster| {
            if let Some((edge, totals)) = observer.count(node, &total, cluster) {
                metrics.flows.count(&edge, totals);
            }
        });
        if let Ok(unattributed) = &taken {
            self.metrics.flows.unattributed(unattributed.packets + unattributed.reply_packets);
        }
        self.note("totals", taken.map(drop));
    }

    /// Has names of addresses looked up anew that news are about.
    pub(super) fn touch_names(&mut self, news: &News) {
        let Agent { observer, gate, .. } = self;
        let mut touch_pod = |namespace: &str, name: &str| {
            let pod = gate.cluster.pod(namespace, name);
            pod.iter().flat_map(|pod| pod.ips()).for_each(|ip| observer.touch(ip));
        };
        match news {
            News::Applied(Watched::Pods, item) => {
                let Object::Pod(pod) = &item.object else { return };
                touch_pod(&pod.meta.namespace, &pod.meta.name);
                pod.ips.iter().for_each(|ip| observer.touch(*ip));
            }
            News::Deleted(Watched::Pods, key, _) => touch_pod(&key.namespace, &key.name),
            // What went while nobody listened is in no list.
            News::Synced(Watched::Pods | Watched::Nodes) => observer.touch_all(),
            _ => {}
        }
    }

    /// Takes what is told of Services, which no verdict depends on; gives back all else.
    pub(super) fn hear_service(&mut self, news: News) -> Option<News> {
        match news {
            News::Applied(Watched::Services, item) => {
                if let Object::Service(service) = &item.object {
                    self.observer.apply_service(service);
                }
            }
            News::Deleted(Watched::Services, key, _) => {
                self.observer.delete_service(&key.namespace, &key.name);
            }
            News::Listing(Watched::Services) => self.observer.list_services(),
            News::Synced(Watched::Services) => self.observer.sweep_services(),
            News::Absent(Watched::Services) | News::Unreadable(Watched::Services, ..) => {}
            other => return Some(other),
        }
        None
    }

    pub(super) fn count_losses(&mut self, counters: &Counters) {
        let exports = self.exports.progress();
        let losses = Losses {
            kernel: counters.events_lost,
            suppressed: counters.events_suppressed,
            disk: self.keeper.as_ref().map_or(0, Keeper::lost),
            export: exports.iter().map(|export| export.lost).sum(),
            ..self.observer.history().losses()
        };
        let problems = self.keeper.as_ref().map(Keeper::problems).unwrap_or_default();
        self.note("keep flows", problems.into_iter().next_back().map_or(Ok(()), Err));
        for export in exports {
            self.metrics.flows.exported(&export);
            let step = match export.to {
                "otlp" => "export to OpenTelemetry",
                "clickhouse" => "export to ClickHouse",
                _ => "export to S3",
            };
            self.note(step, export.trouble.map_or(Ok(()), Err));
        }
        self.metrics.flows.set_losses(losses);
        self.observer.history().set_losses(losses);
    }
}
