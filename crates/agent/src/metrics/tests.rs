//! Everything that names metrics names those that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use prometheus_client::encoding::text::encode;

use super::*;

/// The names of all series that `/metrics` shows. Every family is touched, or it would show none.
fn shown() -> BTreeSet<String> {
    let (metrics, registry) = Metrics::new();
    metrics.set_counters(&Counters::default());
    metrics.connect(Watched::Pods, true);
    drop(metrics.policies.get_or_create(&Scope { scope: "cluster" }));
    drop(metrics.pods.get_or_create(&State { state: "closed" }));
    metrics.flows.touch();
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()).collect()
}

/// The words of a text that look like metrics.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("podgate_") && *word != "podgate_agent").map(str::to_owned).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

#[test]
fn alerts_dashboard_and_book_name_metrics_that_there_are() {
    let shown = shown();
    for path in [
        "deploy/prometheus/alerts.yaml",
        "deploy/prometheus/alerts.test.yaml",
        "deploy/grafana/podgate.json",
        "deploy/grafana/podgate-flows.json",
        "docs/book/src/operate/monitoring.md",
        "docs/book/src/operate/configuration.md",
        "docs/book/src/operate/guarantees.md",
        "docs/book/src/operate/troubleshooting.md",
    ] {
        let named = named(&read(path));
        assert!(!named.is_empty(), "{path} names metrics");
        let is_histogram = |name: &str| shown.contains(&format!("{name}_bucket"));
        let unknown: Vec<&String> =
            named.iter().filter(|name| !shown.contains(*name) && !is_histogram(name)).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?} are not among {shown:?}");
    }
}

#[test]
fn the_book_names_every_metric() {
    let book = named(&read("docs/book/src/operate/monitoring.md"));
    let plain = |name: &String| {
        ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
    };
    let missing: Vec<String> = shown().iter().map(plain).filter(|name| !book.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
