//! What a collector hears, read by the types that OpenTelemetry makes of its own definition.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as Status;
use podgate_api::load_text;
use podgate_datapath::Backend;
use podgate_kube::Item;
use tokio::net::TcpListener;

use super::*;
use crate::options::Endpoint;

const PATIENCE: Duration = Duration::from_secs(20);

type Requests = mpsc::UnboundedReceiver<ExportTraceServiceRequest>;

/// What a collector keeps: where its requests go, and the codes that it answers with before it takes them.
#[derive(Clone)]
struct Collector {
    requests: mpsc::UnboundedSender<ExportTraceServiceRequest>,
    refusals: Arc<Mutex<Vec<StatusCode>>>,
}

/// Where a collector is, and what it takes after having refused as often.
async fn collect(refusals: &[StatusCode]) -> (Endpoint, Requests) {
    async fn take(State(collector): State<Collector>, headers: HeaderMap, body: String) -> StatusCode {
        if let Some(code) = collector.refusals.lock().unwrap().pop() {
            return code;
        }
        assert_eq!(headers["content-type"], "application/json");
        let request = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        collector.requests.send(request).unwrap();
        StatusCode::OK
    }
    let (requests, taken) = mpsc::unbounded_channel();
    let collector = Collector { requests, refusals: Arc::new(Mutex::new(refusals.to_vec())) };
    let router = Router::new().route("/v1/traces", post(take)).with_state(collector);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (endpoint, taken)
}

fn start(endpoint: Endpoint, metrics: &Metrics) -> (Tracer, JoinHandle<()>) {
    Tracer::start(&TraceOptions { endpoint, pod_ratio: 0.0 }, "node-1", metrics, &Handle::current()).unwrap()
}

async fn next(requests: &mut Requests) -> Vec<Span> {
    let request = tokio::time::timeout(PATIENCE, requests.recv()).await.unwrap().unwrap();
    let [resource] = &request.resource_spans[..] else { panic!("{request:?}") };
    let about = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!(text(about, "service.name"), "podgate-agent");
    assert_eq!(text(about, "k8s.node.name"), "node-1");
    let [scope] = &resource.scope_spans[..] else { panic!("{request:?}") };
    scope.spans.clone()
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> &'a Said {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let found = found.unwrap_or_else(|| panic!("no {key} in {attributes:?}"));
    found.value.as_ref().unwrap().value.as_ref().unwrap()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let Said::StringValue(text) = value(attributes, key) else { panic!("{key} is no text") };
    text
}

fn texts<'a>(attributes: &'a [KeyValue], key: &str) -> Vec<&'a str> {
    let Said::ArrayValue(array) = value(attributes, key) else { panic!("{key} is no list") };
    let text = |value: &'a AnyValue| match &value.value {
        Some(Said::StringValue(text)) => text.as_str(),
        other => panic!("{key}: {other:?}"),
    };
    array.values.iter().map(text).collect()
}

fn policy(name: &str, version: &str) -> News {
    let text = format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: {name}, namespace: shop}}, spec: {{podSelector: {{}}}}}}"
    );
    let object = load_text("test.yaml", &text).objects.remove(0);
    let item = Item { object, resource_version: version.into(), generation: 1 };
    News::Applied(Watched::NetworkPolicies, item)
}

fn pod(name: &str) -> News {
    let key = podgate_api::ObjectKey { kind: "Pod", namespace: "shop".into(), name: name.into() };
    News::Deleted(Watched::Pods, key, String::new())
}

fn hear(tracer: &mut Tracer, at: Instant, news: &News) {
    let note = tracer.note(news).unwrap();
    tracer.hear(at, at + Duration::from_millis(2), note);
}

/// What a publication takes that begins at an instant: 1 ms to compile, 3 ms to write.
fn steps(begun: Instant) -> Steps {
    Steps {
        begun,
        compiled: begun + Duration::from_millis(1),
        published: begun + Duration::from_millis(4),
        is_publication: true,
        is_full: false,
        addresses: 7,
        programs: 1,
        backend: Backend::Bpf,
    }
}

fn count(metrics: &Metrics, result: &'static str) -> u64 {
    metrics.traces.get_or_create(&Outcome { result }).get()
}

#[tokio::test]
async fn a_collector_hears_each_step_of_a_policy_s_way_with_its_real_times() {
    let (endpoint, mut requests) = collect(&[]).await;
    let (metrics, _) = Metrics::new();
    let (mut tracer, task) = start(endpoint, &metrics);
    let read = Instant::now() - Duration::from_secs(3);
    hear(&mut tracer, read, &pod("web-1"));
    hear(&mut tracer, read, &policy("web", "41"));
    tracer.publish(&steps(read + Duration::from_millis(5)), "");
    let wall = SystemTime::now();
    tracer.finish(2, read + Duration::from_millis(10));
    drop(tracer);
    task.await.unwrap();

    let spans = next(&mut requests).await;
    let named: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(named, ["policy change", "heard", "gathered", "compiled", "published", "answered"]);
    let root = &spans[0];
    assert!(root.parent_span_id.is_empty() && root.trace_id.len() == 16 && root.span_id.len() == 8);
    for child in &spans[1..] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id), "{child:?}");
    }
    let ids: std::collections::BTreeSet<&[u8]> = spans.iter().map(|span| &span.span_id[..]).collect();
    assert_eq!(ids.len(), spans.len());
    let millis = |nanos: u64| (nanos - root.start_time_unix_nano) / 1_000_000;
    let times: Vec<(u64, u64)> = spans
        .iter()
        .map(|span| (millis(span.start_time_unix_nano), millis(span.end_time_unix_nano)))
        .collect();
    assert_eq!(times, [(0, 10), (0, 2), (2, 5), (5, 6), (6, 9), (9, 10)]);
    // It began three seconds before it was told.
    let began = std::time::UNIX_EPOCH + Duration::from_nanos(root.start_time_unix_nano);
    let ago = wall.duration_since(began).unwrap();
    assert!(ago >= Duration::from_secs(3) && ago < Duration::from_secs(3) + PATIENCE, "{ago:?}");

    assert_eq!(value(&root.attributes, "podgate.objects.count"), &Said::IntValue(2));
    assert_eq!(texts(&root.attributes, "podgate.objects.kinds"), ["NetworkPolicy", "Pod"]);
    assert_eq!(texts(&root.attributes, "podgate.objects.names"), ["shop/web", "shop/web-1"]);
    assert_eq!(texts(&root.attributes, "podgate.objects.resource_versions"), ["41", ""]);
    assert_eq!(value(&spans[3].attributes, "podgate.addresses"), &Said::IntValue(7));
    assert_eq!(text(&spans[4].attributes, "podgate.backend"), "bpf");
    assert_eq!(value(&spans[4].attributes, "podgate.full"), &Said::BoolValue(false));
    assert_eq!(value(&spans[5].attributes, "podgate.conditions"), &Said::IntValue(2));
    assert_eq!((count(&metrics, "sent"), count(&metrics, "failed")), (1, 0));
}

#[tokio::test]
async fn what_the_kernel_refuses_is_one_trace_with_its_tries() {
    let (endpoint, mut requests) = collect(&[]).await;
    let (metrics, _) = Metrics::new();
    let (mut tracer, _task) = start(endpoint, &metrics);
    let read = Instant::now();
    hear(&mut tracer, read, &policy("web", "41"));
    let again = read + Duration::from_millis(100);
    tracer.publish(&steps(read + Duration::from_millis(5)), "no memory");
    tracer.finish(0, read + Duration::from_millis(9));
    tracer.publish(&steps(again), "");
    tracer.finish(0, again + Duration::from_millis(9));
    let spans = next(&mut requests).await;
    let named: Vec<(&str, &str)> = spans
        .iter()
        .map(|span| (span.name.as_str(), span.status.as_ref().map_or("", |status| status.message.as_str())))
        .collect();
    let expected = [
        ("policy change", ""),
        ("heard", ""),
        ("gathered", ""),
        ("compiled", ""),
        ("published", "no memory"),
        ("compiled", ""),
        ("published", ""),
        ("answered", ""),
    ];
    assert_eq!(named, expected);
    assert_eq!(spans[4].status.as_ref().unwrap().code(), Status::Error);
}

#[tokio::test]
async fn a_busy_collector_is_asked_again_and_one_that_refuses_is_not() {
    let busy = [StatusCode::SERVICE_UNAVAILABLE];
    let (endpoint, mut requests) = collect(&busy).await;
    let (metrics, _) = Metrics::new();
    let (mut tracer, task) = start(endpoint, &metrics);
    change(&mut tracer, &policy("web", "1"));
    drop(tracer);
    task.await.unwrap();
    assert_eq!(next(&mut requests).await[0].name, "policy change");
    assert_eq!((count(&metrics, "sent"), count(&metrics, "failed")), (1, 0));

    let (endpoint, mut requests) = collect(&[StatusCode::BAD_REQUEST]).await;
    let (metrics, _) = Metrics::new();
    let (mut tracer, task) = start(endpoint, &metrics);
    change(&mut tracer, &policy("web", "1"));
    drop(tracer);
    task.await.unwrap();
    assert_eq!((count(&metrics, "sent"), count(&metrics, "failed")), (0, 1));
    assert!(requests.try_recv().is_err());
}

fn change(tracer: &mut Tracer, news: &News) {
    let now = Instant::now();
    hear(tracer, now, news);
    tracer.publish(&steps(now), "");
    tracer.finish(0, now);
}

/// A tracer whose traces nobody takes.
fn unread(pod_ratio: f64, room: usize) -> (Tracer, mpsc::Receiver<Trace>, Metrics) {
    let (metrics, _) = Metrics::new();
    let (queue, traces) = mpsc::channel(room);
    (Tracer::new("node-1", pod_ratio, queue, &metrics), traces, metrics)
}

#[test]
fn changes_of_policies_are_all_told_and_of_pods_the_part_that_is_wanted() {
    for (ratio, expected) in [(0.0, 0), (0.1, 10), (0.5, 50), (1.0, 100)] {
        let (mut tracer, mut traces, _) = unread(ratio, 1000);
        for number in 0..100 {
            change(&mut tracer, &pod(&format!("web-{number}")));
            if number % 10 == 0 {
                change(&mut tracer, &policy("web", "1"));
            }
        }
        let mut told: std::collections::BTreeMap<&str, i32> = Default::default();
        while let Ok(trace) = traces.try_recv() {
            *told.entry(trace.root.name).or_default() += 1;
        }
        assert_eq!(told["policy change"], 10, "{ratio}");
        let pods = told.get("pod change").copied().unwrap_or_default();
        assert!((pods - expected).abs() <= 1, "{ratio}: {pods}");
    }
}

#[test]
fn what_the_collector_is_too_slow_for_is_dropped_and_counted() {
    let (mut tracer, mut traces, metrics) = unread(0.0, 2);
    for number in 0..5 {
        change(&mut tracer, &policy(&format!("p{number}"), "1"));
    }
    assert_eq!(count(&metrics, "dropped"), 3);
    assert!(traces.try_recv().is_ok());
}

#[test]
fn a_crowd_is_counted_and_its_weightiest_are_named() {
    let (mut tracer, mut traces, _) = unread(0.0, 1);
    let now = Instant::now();
    for number in 0..1000 {
        hear(&mut tracer, now, &pod(&format!("web-{number}")));
    }
    hear(&mut tracer, now, &policy("web", "7"));
    tracer.publish(&steps(now), "");
    tracer.finish(0, now);
    let trace = traces.try_recv().unwrap();
    let said = |key: &str| trace.root.attributes.iter().find(|(name, _)| *name == key).unwrap().1.clone();
    assert_eq!(said("podgate.objects.count"), Value::Count(1001));
    let Value::Texts(names) = said("podgate.objects.names") else { panic!("{trace:?}") };
    assert_eq!((names.len(), names[0].as_str()), (NAMED, "shop/web"));
}

#[test]
fn endpoints_are_bases_of_http() {
    let said = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
    assert_eq!(said("http://127.0.0.1:4318").unwrap(), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(said("https://otel.example/base/").unwrap(), "https://otel.example/base/v1/traces");
    for wrong in ["", "127.0.0.1:4318", "grpc://otel:4317", "http://"] {
        assert!(said(wrong).unwrap_err().contains("http://127.0.0.1:4318"), "{wrong}");
    }
}
