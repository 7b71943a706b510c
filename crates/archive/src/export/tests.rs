use podgate_flow::{Limits, Query, Take, Timestamp};
use serde_json::Value;

use super::*;
use crate::directory::Series;
use crate::fixture::{at, minutes, records};
use crate::python::Server;
use crate::{Archive, Caps};

/// More than any machine takes; what is waited for is named.
const PATIENCE: Duration = Duration::from_secs(120);

#[track_caller]
fn wait_until(what: &str, mut is_there: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_there() {
        assert!(start.elapsed() < PATIENCE, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn history(records: usize) -> Arc<History> {
    Arc::new(History::new(Limits { records, age: Duration::from_secs(1 << 40), ..Limits::default() }))
}

/// Takes what it is told to, and remembers.
#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Result<u64, Failure>>>>,
    taken: Arc<Mutex<Vec<Timestamp>>>,
}

impl Fake {
    fn answer(&self) -> Option<Result<u64, Failure>> {
        self.answers.lock().unwrap().pop_front()
    }
}

impl Sink for Fake {
    fn flows(&mut self, records: &[Arc<FlowRecord>]) -> Result<u64, Failure> {
        let answer = self.answer().unwrap_or(Ok(0));
        if answer.is_ok() {
            self.taken.lock().unwrap().extend(records.iter().map(|record| record.time));
        }
        answer
    }

    fn edges(&mut self, minutes: &[Arc<EdgeMinute>]) -> Result<u64, Failure> {
        self.answer().unwrap_or(Ok(0)).inspect(|_| {
            self.taken.lock().unwrap().extend(minutes.iter().map(|minute| minute.minute));
        })
    }
}

fn passing() -> Failure {
    Failure { is_passing: true, retry_after: Some(Duration::from_millis(1)), what: "busy".into() }
}

#[test]
fn what_failed_for_a_while_is_sent_again_and_what_is_refused_is_counted() {
    let fake = Fake::default();
    fake.answers.lock().unwrap().extend([Err(passing()), Err(passing()), Ok(3)]);
    let (history, records) = (history(100_000), records(1000));
    history.push(at(0), records[..100].iter().cloned());
    let export = Export::start(history.clone(), fake.clone()).unwrap();
    history.push(at(0), records[100..].iter().cloned());
    wait_until("900 records", || fake.taken.lock().unwrap().len() == 900);
    wait_until("their count", || export.state().flows == 897);
    let times: Vec<_> = records[100..].iter().map(|record| record.time).collect();
    assert_eq!(*fake.taken.lock().unwrap(), times, "from its start on, each once, in order");
    let state = export.state();
    assert_eq!((state.flows_lost, state.failures, state.trouble), (3, 2, None));

    fake.answers.lock().unwrap().push_back(Err(Failure::lasting("no such table")));
    history.push(at(0), records[..50].iter().cloned());
    wait_until("the loss", || export.state().flows_lost == 53);
    assert_eq!(export.state().trouble.as_deref(), Some("no such table: 50 are given up"));
}

#[test]
fn what_goes_from_the_history_before_it_is_sent_is_counted() {
    let fake = Fake::default();
    let failure = Failure { retry_after: Some(Duration::from_millis(300)), ..passing() };
    fake.answers.lock().unwrap().push_back(Err(failure));
    let (history, records) = (history(200), records(1000));
    let export = Export::start(history.clone(), fake.clone()).unwrap();
    history.push(at(0), records[..200].iter().cloned());
    wait_until("the failure", || export.state().failures == 1);
    let trouble = export.state().trouble.unwrap();
    assert!(trouble.starts_with("busy: tried again after"), "{trouble}");
    history.push(at(0), records[200..].iter().cloned());
    wait_until("the rest", || export.state().flows + export.state().flows_lost == 1000);
    assert_eq!(export.state().flows, fake.taken.lock().unwrap().len() as u64);
    assert!(export.state().flows_lost >= 600, "{:?}", export.state());
}

#[test]
fn minutes_wait_in_a_queue_that_ends() {
    let fake = Fake::default();
    let failure = Failure { retry_after: Some(Duration::from_secs(60)), ..passing() };
    fake.answers.lock().unwrap().push_back(Err(failure));
    let export = Export::start(history(10), fake.clone()).unwrap();
    let minutes = minutes(100, 1);
    export.append_edges(&minutes);
    wait_until("the failure", || export.state().failures == 1);
    for _ in 0..EDGES_WAITING / 100 {
        export.append_edges(&minutes);
    }
    assert_eq!(export.state().edges_lost as usize, (EDGES_WAITING / 100 + 1) * 100 - EDGES_WAITING);
    // Ends at once, though the next try is a minute away.
    let start = std::time::Instant::now();
    drop(export);
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_address_that_nobody_answers_at_is_named() {
    let mut otlp = Otlp::new("http://127.0.0.1:1/", Vec::new(), "");
    let failure = Sink::flows(&mut otlp, &records(1)).unwrap_err();
    assert!(
        failure.is_passing && failure.what.starts_with("http://127.0.0.1:1/v1/logs can't be asked"),
        "{failure}"
    );
    let mut otlp = Otlp::new("nowhere", Vec::new(), "");
    let failure = Sink::flows(&mut otlp, &records(1)).unwrap_err();
    assert!(!failure.is_passing && failure.what.contains("nowhere"), "{failure}");
}

#[test]
fn clickhouse_takes_and_answers() {
    let mut server = Server::start("clickhouse.py");
    let url = format!("http://127.0.0.1:{}", server.line());
    let clickhouse = |password: &str| ClickHouse::new(&url, "pod`gate", "writer", Secret(password.into()));
    let refused = clickhouse("wrong").create().unwrap_err();
    assert!(!refused.is_passing && refused.what.contains("Authentication failed"), "{refused}");
    let database = clickhouse("right");
    database.create().unwrap();
    database.create().unwrap();

    let (history, records, minutes) = (history(100_000), records(3000), minutes(60, 70));
    let export = Export::start(history.clone(), database.clone()).unwrap();
    history.push(at(0), records.iter().cloned());
    wait_until("3000 records", || {
        assert_eq!(export.state().flows_lost, 0, "{:?}", export.state());
        export.state().flows == 3000
    });
    assert_eq!(export.state().failures, 1, "the answer that got lost");
    export.append_edges(&minutes);
    wait_until("the minutes", || {
        assert_eq!(export.state().edges_lost, 0, "{:?}", export.state());
        export.state().edges == 60 * 70
    });

    let all: Vec<FlowRecord> = records.iter().map(|record| (**record).clone()).collect();
    let answered = |query: &Query| database.flows(query).unwrap();
    assert_eq!(answered(&Query::default()), all, "each once, though the first were sent twice");
    let (since, until) = (Some(records[500].time), Some(records[700].time));
    let query = Query { since, until, ..Query::default() };
    assert_eq!(answered(&query), all[500..700]);
    assert_eq!(answered(&Query { take: Take::Last(5), ..query.clone() }), all[695..700]);
    assert_eq!(answered(&Query { take: Take::First(5), ..query }), all[500..505]);

    let found = database.edges(at(60 * 10 + 1), at(60 * 12)).unwrap();
    let mut wanted: Vec<EdgeMinute> =
        minutes[60 * 10..60 * 12].iter().map(|minute| (**minute).clone()).collect();
    wanted.sort_by(|a, b| (a.minute, &a.edge).cmp(&(b.minute, &b.edge)));
    assert_eq!(found, wanted);
    let hours = database
        .ask(
            "pod`gate",
            &[],
            b"SELECT toUnixTimestamp(hour), sum(bytes) FROM edges_by_hour GROUP BY hour ORDER BY hour FORMAT TSV",
        )
        .unwrap();
    let sum = |minutes: &[Arc<EdgeMinute>]| minutes.iter().map(|minute| minute.totals.bytes).sum::<u64>();
    let (first, second) = (sum(&minutes[..3600]), sum(&minutes[3600..]));
    let wanted = format!("1795442400\t{first}\n1795446000\t{second}\n");
    assert_eq!(String::from_utf8(hours).unwrap(), wanted);
    let told = database.page(Series::Flows, "nothing = 1", "time").err().unwrap();
    assert!(!told.is_passing && told.what.contains("nothing"), "{told}");
}

#[test]
fn opentelemetry_takes_records_and_totals() {
    let mut server = Server::start("otlp.py");
    let url = format!("http://127.0.0.1:{}/", server.line());
    let token = ("authorization".to_owned(), Secret("Bearer t0ken".into()));
    let (history, records, minutes) = (history(100_000), records(990), minutes(20, 2));
    let export = Export::start(history.clone(), Otlp::new(&url, vec![token], "lab")).unwrap();
    history.push(at(0), records.iter().cloned());
    let logs: Value = serde_json::from_str(&server.line()).unwrap();
    wait_until("990 records", || export.state().flows + export.state().flows_lost == 990);
    let state = export.state();
    assert_eq!((state.flows, state.failures), (989, 1), "{state:?}");
    let resource = &logs["resourceLogs"][0];
    let text = resource["resource"].to_string();
    for word in ["service.name", "podgate", "k8s.cluster.name", "lab", "k8s.node.name", "node-1"] {
        assert!(text.contains(&format!("\"{word}\"")), "{word} in {text}");
    }
    let logs = resource["scopeLogs"][0]["logRecords"].as_array().unwrap();
    assert_eq!(logs.len(), 990);
    let attribute = |log: &Value, key: &str| {
        let attributes = log["attributes"].as_array().unwrap();
        let found = attributes.iter().find(|attribute| attribute["key"] == key);
        found.map(|attribute| attribute["value"].as_object().unwrap().values().next().unwrap().clone())
    };
    for (log, record) in logs.iter().zip(&records) {
        assert_eq!(log["timeUnixNano"], record.time.0.to_string());
        assert_eq!(log["eventName"], "podgate.flow");
        assert_eq!(attribute(log, "source.address").unwrap(), record.source.ip.to_string());
        assert_eq!(attribute(log, "podgate.flow.id").unwrap(), record.id.to_string());
        let port = attribute(log, "destination.port").unwrap();
        assert_eq!(port, record.destination.port.to_string());
    }
    let denied = logs.iter().find(|log| log["severityText"] == "WARN").unwrap();
    assert!(denied["body"]["stringValue"].as_str().unwrap().contains(" denied: "), "{denied}");

    export.append_edges(&minutes);
    let totals: Value = serde_json::from_str(&server.line()).unwrap();
    wait_until("the minutes", || export.state().edges == 40);
    let metrics = totals["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let sums: Vec<(&str, u64)> = metrics
        .iter()
        .map(|metric| {
            let points = metric["sum"]["dataPoints"].as_array().unwrap();
            let value = |point: &Value| point["asInt"].as_str().unwrap().parse::<u64>().unwrap();
            (metric["name"].as_str().unwrap(), points.iter().map(value).sum())
        })
        .collect();
    let sum =
        |of: fn(&podgate_flow::Totals) -> u64| minutes.iter().map(|minute| of(&minute.totals)).sum::<u64>();
    assert_eq!(
        sums,
        [
            ("podgate.edge.connections", sum(|totals| totals.connections)),
            ("podgate.edge.packets", sum(|totals| totals.packets + totals.reply_packets)),
            ("podgate.edge.io", sum(|totals| totals.bytes + totals.reply_bytes)),
        ]
    );
    let wrong = ("authorization".to_owned(), Secret("Bearer wrong".into()));
    let refused = Sink::flows(&mut Otlp::new(&url, vec![wrong], ""), &records).unwrap_err();
    assert!(!refused.is_passing && refused.what.contains("who are you?"), "{refused}");
}

#[test]
fn hours_that_are_over_go_to_a_bucket_under_a_signature_that_is_checked() {
    let mut server = Server::start("s3.py");
    let line = server.line();
    let [port, access_key, secret_key] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let dir = tempfile::tempdir().unwrap();
    let archive =
        Archive::open(dir.path(), Caps { age: Duration::from_secs(1 << 40), ..Caps::default() }).unwrap();
    let mut records: Vec<FlowRecord> = records(500).iter().map(|record| (**record).clone()).collect();
    for record in &mut records {
        // Long over.
        record.time = Timestamp(record.time.0 - 400 * 86_400_000_000_000);
    }
    archive.append(&records.into_iter().map(Arc::new).collect::<Vec<_>>());
    archive.flush();
    drop(archive);
    // An hour is put together when nothing more came for it, or when the archive is opened again.
    let archive =
        Archive::open(dir.path(), Caps { age: Duration::from_secs(1 << 40), ..Caps::default() }).unwrap();
    let archive = Arc::new(archive);
    wait_until("the hour", || archive.whole_hours().len() == 1);
    let bucket = |secret: &str| Bucket {
        endpoint: format!("http://127.0.0.1:{port}"),
        region: "eu-central-1".into(),
        bucket: "flows".into(),
        prefix: "podgate/lab 1/node-1/".into(),
        access_key: access_key.into(),
        secret_key: Secret(secret.into()),
        session_token: None,
    };
    let refused = Upload::start(archive.clone(), bucket("wrong")).unwrap();
    wait_until("a refusal", || refused.state().trouble.is_some());
    assert!(refused.state().trouble.unwrap().contains("403"), "{:?}", refused.state().trouble);
    drop(refused);
    let upload = Upload::start(archive.clone(), bucket(secret_key)).unwrap();
    let (path, bytes) = archive.whole_hours().remove(0);
    wait_until("the upload", || upload.state().uploaded == 1);
    assert_eq!(upload.state().trouble, None);
    drop(upload);
    server.enter();
    let there: Value = serde_json::from_str(&server.line()).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(there, serde_json::json!({ format!("podgate/lab 1/node-1/{name}"): bytes }));
}
