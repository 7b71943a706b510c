//! Policies that fit what was seen.

use podgate_advise::recommend::{self, Options};
use podgate_advise::{Collector, Judge, Lost, Seen};
use podgate_api::Object;
use podgate_flow::Filter;

use crate::ask::{Ask, Window};
use crate::fault::Fault;
use crate::flows::{losses, records, watched};
use crate::model::{Recommendation, RecommendedPolicy};

/// Answers /recommendations.
pub fn recommend(ask: &Ask) -> Result<Recommendation, Fault> {
    watched(ask)?;
    let inventory = &ask.snapshot.inventory;
    let seen = settled(ask, ask.window()?, &inventory.loaded.objects)?;
    let options = Options {
        namespaces: ask.all("namespace").into_iter().map(str::to_owned).collect(),
        known_blocks: Vec::new(),
        settings: inventory.options.settings,
    };
    let made = recommend::Recommendation::new(inventory.loaded.objects.clone(), &seen, &options);
    let policies = made.policies.iter().map(|policy| RecommendedPolicy {
        workload: policy.workload.to_string(),
        connections: policy.connections,
        warnings: policy.warnings.clone(),
        yaml: policy.document.to_yaml(),
    });
    Ok(Recommendation {
        revision: ask.snapshot.revision(),
        // The first line says who made it, which the page does itself.
        statement: made.head().into_iter().skip(1).collect(),
        policies: policies.collect(),
    })
}

/// The flows of a window, by who opened them.
pub fn settled(ask: &Ask, window: Window, objects: &[Object]) -> Result<Seen, Fault> {
    let mut collector = Collector::new();
    for record in records(&ask.server, window, Filter::default())? {
        collector.take(&record);
    }
    let losses = losses(&ask.server);
    collector.lose(Lost {
        flows: losses.kernel + losses.disk,
        since_start: true,
        nodes: losses.nodes,
        ..Lost::default()
    });
    Ok(collector.settle(Judge::serves(objects)))
}
