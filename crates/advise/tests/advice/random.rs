//! In random clusters, what is recommended for random flows cuts nothing that was let through.

use podgate_advise::recommend::{Options, Recommendation};
use podgate_flow::{FlowVerdict, Party, Protocol};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::*;

/// One flow: the ends' places in the list of workloads, the pod of each, port, protocol, and whether it was denied.
type Flow = (usize, usize, u8, u8, u16, bool, bool);

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let port = prop::sample::select(vec![53_u16, 80, 443, 8080, 8125, 40_000]);
    prop::collection::vec(
        (0..12_usize, 0..12_usize, 0..3_u8, 0..3_u8, port, any::<bool>(), prop::bool::weighted(0.2)),
        1..40,
    )
}

/// Labels of workloads: few keys and values, so that some workloads share theirs.
fn labelled() -> impl Strategy<Value = Vec<Vec<(&'static str, &'static str)>>> {
    let pair = (
        prop::sample::select(vec!["app", "tier", "version", "pod-template-hash"]),
        prop::sample::select(vec!["a", "b", "c"]),
    );
    prop::collection::vec(prop::collection::vec(pair, 0..4), 12)
}

fn place(number: usize, pod: u8, labelled: &[Vec<(&'static str, &'static str)>]) -> podgate_flow::Endpoint {
    let (number, pod) = (number as u8, pod);
    match number {
        0 => end("out:", &format!("203.0.113.{}", pod + 1), 0),
        1 => end("out:example.com", &format!("2001:db8::{}", pod + 1), 0),
        2 => end("node:n1", "172.18.0.2", 0),
        3 => end("node:n2", "172.18.0.3", 0),
        _ => {
            let namespace = ["red", "blue"][usize::from(number % 2)];
            let ip = match number % 3 {
                0 => format!("fd00::{number}:{}", pod + 1),
                _ => format!("10.1.{number}.{}", pod + 1),
            };
            let mut end = end(&format!("{namespace}/Deployment/w{number}"), &ip, 0);
            let Party::Pod { labels: of, .. } = std::sync::Arc::make_mut(&mut end.party) else {
                unreachable!()
            };
            *of = labels(&labelled[usize::from(number)]);
            end
        }
    }
}

proptest! {
    // The same clusters each time: `PROPTEST_CASES=5000` looks at more of them.
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(150),
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_that_was_let_through_is_cut((flows, labelled) in (flows(), labelled())) {
        let mut recorder = Recorder::default();
        for (number, (from, to, a, b, port, tcp, denied)) in flows.iter().enumerate() {
            let (mut source, mut destination) = (place(*from, *a, &labelled), place(*to, *b, &labelled));
            if source.ip.is_ipv4() != destination.ip.is_ipv4() || source.ip == destination.ip {
                continue;
            }
            source.port = 45_000 + number as u16;
            destination.port = *port;
            let protocol = if *tcp { Protocol::TCP } else { Protocol::UDP };
            let verdict = if *denied { FlowVerdict::Denied } else { FlowVerdict::Allowed };
            recorder.add(source, destination, protocol, verdict);
        }
        let objects = objects(SHOP);
        let seen = recorder.seen(&objects);
        let recommendation = Recommendation::new(objects, &seen, &Options::default());
        let proof = &recommendation.proof;
        prop_assert!(proof.cut.is_empty(), "{:#?}\n{}", proof.cut, recommendation.to_yaml());
        prop_assert!(proof.selected.is_empty(), "{:#?}\n{}", proof.selected, recommendation.to_yaml());
        // Only workloads that no label tells apart lend each other what they may, and that is said and counted.
        let warnings = recommendation.warnings();
        let is_said = |text: &str| warnings.iter().any(|warning| warning.text.contains(text));
        let shares = recommendation.to_yaml().contains("what one may, the other may as well")
            && is_said("it would let through");
        prop_assert!(proof.opened.is_empty() || shares, "{:#?}\n{}", proof.opened, recommendation.to_yaml());
    }
}
