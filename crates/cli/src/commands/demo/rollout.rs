//! The story of a default deny that comes to a running shop: staged, recommended, replayed, enforced, attacked.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use podgate_advise::recommend::{Options, Recommendation};
use podgate_advise::{Collector, Judge, Replay, Seen};
use podgate_api::{Object, load_text};
use podgate_flow::{FlowRecord, Place, Reason};
use podgate_hubble::client::Address;
use podgate_lab::demo::Demo;
use podgate_lab::demo::rollout::{
    ATTACKER_POD, Attack, DEFAULT_DENY, ENFORCED, RECOMMENDED, ROUTES, STAGED, let_attacker_in,
};
use podgate_lab::enforce::HUBBLE_SOCKET;
use podgate_lab::interrupt;
use podgate_lab::load::{Count, Load};
use podgate_policy::{Settings, Verdict};

use super::Pauses;
use crate::input::flows::FlowArguments;
use crate::outcome::{FINDINGS, FINE, Failure, INTERRUPTED, Outcome};
use crate::render;
use crate::style::{self, BAD, BOLD, FAINT, GOOD, WARN};

/// How long the shop is watched before policies are made from what was seen.
const WATCH: Duration = Duration::from_secs(4);
const STEPS: usize = 5;
/// Lines of a list that are printed.
const MOST: usize = 10;

/// Walks through the story in a lab without policies. Ends with an exit code that tells whether all went well.
pub fn walk(demo: &Demo, pauses: &Pauses) -> Outcome {
    let plan = demo.lab().plan()?.ok_or_else(|| Failure::bad("the demo's lab is gone"))?;
    let mut story = Story { demo, load: Load::start(&plan, &ROUTES)?, objects: demo.objects(), well: true };

    story.title(
        1,
        "the shop under load",
        "Customers come in, and every application talks to those it needs. No policy is there.",
    );
    story.wait(WATCH / 2)?;
    story.users();
    pauses.after_step();

    story.title(
        2,
        "a default deny, staged",
        "The annotation podgate.dev/mode: staged has the kernel evaluate it beside what is in force. It decides nothing, and \
         each connection says what it would have done.",
    );
    let staged_at = Timestamp::now();
    demo.put(DEFAULT_DENY, STAGED)?;
    story.wait(WATCH)?;
    let (records, seen) = story.watched(staged_at)?;
    story.would_be_denied(&records);
    story.users();
    pauses.after_step();

    story.title(
        3,
        "recommend",
        "Least-privilege policies from those connections: the smallest labels that select a workload, the pods' own ports, DNS.",
    );
    let recommendation = Recommendation::new(story.objects.clone(), &seen, &Options::default());
    let yaml = recommendation.to_yaml();
    for policy in &recommendation.policies {
        let meta = &policy.document.policy.meta;
        style::line(&format!(
            "  {BOLD}{}/{}{BOLD:#} {FAINT}from {} connections of {}{FAINT:#}",
            meta.namespace, meta.name, policy.connections, policy.workload
        ));
    }
    for line in recommendation.head().iter().skip(1) {
        style::line(&format!("  {FAINT}{line}{FAINT:#}"));
    }
    story.expect(recommendation.proof.holds(), "the recommended policies would not do what was seen");
    pauses.after_step();

    story.title(
        4,
        "replay",
        "The default deny and the recommended policies judge the recorded connections again, before anything is in force.",
    );
    let alone = story.replay(&seen, ENFORCED);
    style::line(&format!(
        "  {BAD}the default deny alone would cut {} of {} connections{BAD:#}",
        alone.cut_connections(),
        alone.cut_connections() + alone.kept.allowed
    ));
    let both = story.replay(&seen, &format!("{ENFORCED}---\n{yaml}"));
    for line in render::replay::text(&both).lines() {
        style::line(&format!("  {line}"));
    }
    story.expect(both.cut.is_empty(), "the replay cuts what the shop needs");
    pauses.after_step();

    story.title(
        5,
        "enforce, and an attacker's pod appears",
        "The recommended policies come first, then the default deny loses its annotation. Then a pod that nobody has seen \
         before tries everything.",
    );
    demo.put(RECOMMENDED, &yaml)?;
    demo.put(DEFAULT_DENY, ENFORCED)?;
    let_attacker_in(demo)?;
    let attack = Attack::new(demo)?;
    story.attack(&attack);
    story.wait(WATCH / 2)?;
    story.users();
    pauses.after_step();
    story.end()
}

struct Story<'a> {
    demo: &'a Demo,
    load: Load,
    objects: Vec<Object>,
    /// Everything went as it should so far.
    well: bool,
}

impl Story<'_> {
    fn title(&self, at: usize, title: &str, text: &str) {
        style::line("");
        style::line(&format!("{BOLD}[{at}/{STEPS}] {title}{BOLD:#}"));
        style::line(text);
        style::line("");
    }

    fn wait(&self, time: Duration) -> Result<(), Failure> {
        let step = Duration::from_millis(50);
        for _ in 0..time.as_millis() / step.as_millis() {
            if interrupt::requested() {
                return Err(Failure { message: "interrupted".to_owned(), code: INTERRUPTED });
            }
            std::thread::sleep(step);
        }
        Ok(())
    }

    fn expect(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            style::error(&format!("{otherwise}: please report it"));
            self.well = false;
        }
    }

    /// How the users of the shop fare.
    fn users(&mut self) {
        let counts = self.load.counts();
        let made: u64 = counts.iter().map(|count| count.made).sum();
        let failed: u64 = counts.iter().map(|count| count.failed).sum();
        if failed == 0 {
            style::line(&format!(
                "  {GOOD}{made} connections of the shop's users so far, and none failed{GOOD:#}"
            ));
            return;
        }
        for Count { route, made, failed, problem } in counts.iter().filter(|count| count.failed > 0) {
            style::line(&format!(
                "  {BAD}{} -> {} {} {}: {failed} of {made} failed, the last: {problem}{BAD:#}",
                route.from,
                route.to,
                route.wire.as_str(),
                route.port
            ));
        }
        self.expect(false, &format!("{failed} of {made} connections of the shop's users failed"));
    }

    /// Every connection since then, from where `podgate observe` has them.
    fn watched(&self, since: Timestamp) -> Result<(Vec<FlowRecord>, Seen), Failure> {
        let address = Address::Unix(self.demo.lab().file(HUBBLE_SOCKET));
        let (mut records, mut collector) = (Vec::new(), Collector::new());
        let missing = FlowArguments::of_server(address, since).each(|record| {
            collector.take(record);
            records.push(record.clone());
        })?;
        collector.lose(missing.lost());
        Ok((records, collector.settle(Judge::serves(&self.objects))))
    }

    fn replay(&self, seen: &Seen, policies: &str) -> Replay {
        let mut objects = self.objects.clone();
        objects.extend(load_text("candidate", policies).objects);
        Replay::new(seen, &mut Judge::new(objects, Settings::default(), seen))
    }

    /// What the staged policies would deny, by edge.
    fn would_be_denied(&mut self, records: &[FlowRecord]) {
        let mut edges: BTreeMap<(String, String, String), (u64, String)> = BTreeMap::new();
        for record in records {
            let Some(staged) = record.staged.as_ref().filter(|staged| staged.verdict == Verdict::Denied)
            else {
                continue;
            };
            let end = |end: &podgate_flow::Endpoint| Place::of(end.ip, &end.party).to_string();
            let port = format!("{} {}", record.protocol, record.destination.port);
            let decisions = [&staged.egress, &staged.ingress].into_iter().flatten();
            let denies = decisions.into_iter().find(|decision| decision.verdict == Verdict::Denied);
            let by = match denies.map(|decision| &*decision.reason) {
                Some(Reason::Isolated { policies }) => {
                    policies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                }
                Some(reason) => reason.to_string(),
                None => String::new(),
            };
            let edge = edges.entry((end(&record.source), end(&record.destination), port)).or_default();
            edge.0 += 1;
            edge.1 = by;
        }
        style::line(&format!("  {BOLD}would be denied{BOLD:#}"));
        for ((from, to, port), (count, by)) in edges.iter().take(MOST) {
            style::line(&format!(
                "  {WARN}{count:>5}{WARN:#}  {from} -> {to} {port}  {FAINT}by {by}{FAINT:#}"
            ));
        }
        if edges.len() > MOST {
            style::line(&format!("  {FAINT}... and {} more edges{FAINT:#}", edges.len() - MOST));
        }
        self.expect(!edges.is_empty(), "the staged default deny says of no connection that it would deny it");
    }

    fn attack(&mut self, attack: &Attack) {
        let tried = attack.report.cells.len();
        let mut told = 0;
        for (target, by) in attack.denials().take(MOST) {
            told += 1;
            let port = if target.port == 0 { String::new() } else { format!(" {}", target.port) };
            style::line(&format!(
                "  {GOOD}cut{GOOD:#}  {ATTACKER_POD} -> {} {}{port}  {FAINT}{by}{FAINT:#}",
                target.name,
                target.wire.as_str()
            ));
        }
        if tried > told {
            style::line(&format!("  {FAINT}... and {} more{FAINT:#}", tried - told));
        }
        self.expect(
            attack.report.differences().count() == 0,
            "packets of the attacker's pod went otherwise than policy says",
        );
        let reached = attack.reached();
        self.expect(reached == 0, &format!("the attacker's pod reached {reached} of {tried}"));
    }

    fn end(self) -> Outcome {
        let Story { load, well, .. } = self;
        load.stop();
        Ok(if well { FINE } else { FINDINGS })
    }
}
