//! How fast a watch is read: `cargo bench -p podgate-kube [-- PODS]`.
//!
//! Decoding alone first, then a streamed list over a connection to a server in the same process, whose text
//! is made before.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use podgate_api::{AnswerReader, WatchEvent};
use podgate_kube::{Client, News, Options, Watched, watch};

/// A pod of a Deployment with one container, as an API server sends it.
fn pod(index: usize) -> String {
    let (namespace, app) = (index % 20_000, index % 7);
    let ip = format!("10.{}.{}.{}", index >> 16 & 255, index >> 8 & 255, index & 255);
    let owner = |manager: &str, fields: &str| {
        format!(
            r#"{{"manager":"{manager}","operation":"Update","apiVersion":"v1","time":"2026-11-01T10:00:00Z","fieldsType":"FieldsV1","fieldsV1":{{{fields}}}}}"#
        )
    };
    let condition = |kind: &str| {
        format!(
            r#"{{"type":"{kind}","observedGeneration":1,"status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-01T10:00:01Z"}}"#
        )
    };
    let controller = owner(
        "kube-controller-manager",
        r#""f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"4c4e0d6f\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"main\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:name":{},"f:protocol":{}}},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}"#,
    );
    let kubelet = owner(
        "kubelet",
        r#""f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.0.0.1\"}":{".":{},"f:ip":{}}},"f:startTime":{}}"#,
    );
    let conditions: Vec<String> =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]
            .map(condition)
            .into();
    format!(
        r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"app-{app}-5d4f8c7b9-{index:05x}","generateName":"app-{app}-5d4f8c7b9-","namespace":"tenant-{namespace}","uid":"6b1f0c1e-0000-4000-8000-{index:012x}","resourceVersion":"{}","generation":1,"creationTimestamp":"2026-11-01T10:00:00Z","labels":{{"app":"app-{app}","tier":"backend","pod-template-hash":"5d4f8c7b9"}},"annotations":{{"cni.example/status":"[{{\"interface\":\"eth0\",\"ips\":[\"{ip}\"]}}]"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"app-{app}-5d4f8c7b9","uid":"4c4e0d6f-0000-4000-8000-000000000001","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{controller},{kubelet}]}},"spec":{{"volumes":[{{"name":"kube-api-access-x7k2p","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}}],"defaultMode":420}}}}],"containers":[{{"name":"main","image":"registry.example/app-{app}:1.2.3","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"DB_HOST","value":"db.tenant-{namespace}.svc"}}],"resources":{{"requests":{{"cpu":"100m","memory":"128Mi"}}}},"volumeMounts":[{{"name":"kube-api-access-x7k2p","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","nodeName":"node-{}","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"preemptionPolicy":"PreemptLowerPriority"}},"status":{{"phase":"Running","conditions":[{}],"hostIP":"192.168.0.1","hostIPs":[{{"ip":"192.168.0.1"}}],"podIP":"{ip}","podIPs":[{{"ip":"{ip}"}}],"startTime":"2026-11-01T10:00:00Z","containerStatuses":[{{"name":"main","state":{{"running":{{"startedAt":"2026-11-01T10:00:01Z"}}}},"ready":true,"restartCount":0,"image":"registry.example/app-{app}:1.2.3"}}],"qosClass":"Burstable"}}}}"#,
        index + 1,
        index % 2_000,
        conditions.join(",")
    )
}

fn main() {
    // Cargo adds an argument of its own.
    let pods = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let lines: Vec<String> =
        (0..pods).map(|index| format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", pod(index))).collect();
    let bytes: usize = lines.iter().map(String::len).sum();
    let megabytes = bytes as f64 / 1e6;
    println!("{pods} pods, {megabytes:.0} MB, {} bytes each", bytes / pods.max(1));

    let reader = AnswerReader::new("v1", "Pod", "bench:pods");
    let began = Clocks::now();
    let mut objects = 0;
    for line in &lines {
        match reader.event(line) {
            Ok(WatchEvent::Applied(answer)) if !answer.has_errors() => {
                objects += usize::from(answer.object.is_some())
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(objects, pods);
    report("decoded by one thread", &began, megabytes, pods);

    let text = lines.concat();
    drop(lines);
    let kubeconfig = serve(text, pods);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = Options { kubeconfig: Some(kubeconfig.clone()), context: None };
    let client = runtime.block_on(Client::connect(&options)).expect("a client");
    let (sender, news) = channel();
    let began = Clocks::now();
    let watching = watch(&client, &[Watched::Pods], runtime.handle(), move |batch| {
        let _ = sender.send(batch);
    });
    let consumer = std::thread::spawn(move || {
        let (mut applied, mut batches) = (0, 0);
        for batch in news {
            batches += 1;
            applied += batch.iter().filter(|news| matches!(news, News::Applied(..))).count();
            if batch.iter().any(|news| matches!(news, News::Synced(_))) {
                break;
            }
        }
        (applied, batches)
    });
    runtime.block_on(async {
        while !consumer.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let (applied, batches) = consumer.join().expect("all news");
    assert_eq!(applied, pods);
    report("listed over a connection, without TLS, the server included", &began, megabytes, pods);
    println!("{batches} batches");
    drop(watching);
    std::fs::remove_file(kubeconfig).expect("the kubeconfig");
}

/// Time on the wall, and on the processors: other work on the machine takes from the first only.
struct Clocks {
    wall: Instant,
    processors: f64,
}

impl Clocks {
    fn now() -> Self {
        Clocks { wall: Instant::now(), processors: processor_seconds() }
    }
}

/// User and system time of this process, all threads included.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("procfs");
    // The name of the program, in brackets, may hold spaces.
    let fields = text.rsplit_once(')').expect("a name").1.split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).map(|field| field.parse::<f64>().expect("ticks")).sum();
    ticks / 100.0
}

fn report(what: &str, began: &Clocks, megabytes: f64, pods: usize) {
    let wall = began.wall.elapsed().as_secs_f64();
    let seconds = processor_seconds() - began.processors;
    println!(
        "{what}: {wall:.2} s; processor time {seconds:.2} s, {:.0} MB/s, {:.1} µs a pod",
        megabytes / seconds,
        seconds * 1e6 / pods as f64
    );
}

/// Serves one streamed list, and returns a kubeconfig that leads there.
fn serve(text: String, pods: usize) -> std::path::PathBuf {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut reader = BufReader::new(stream.try_clone().expect("the stream"));
        let mut line = String::new();
        while reader.read_line(&mut line).expect("a request") > 2 {
            line.clear();
        }
        let mut stream = std::io::BufWriter::with_capacity(64 * 1024, stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").expect("a client");
        // A chunk for each event, as an API server writes them.
        for event in text.split_inclusive('\n') {
            write!(stream, "{:x}\r\n{event}\r\n", event.len()).expect("a client");
        }
        let end = format!(
            "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{pods}\",\"annotations\":{{\"k8s.io/initial-events-end\":\"true\"}}}}}}}}\n"
        );
        write!(stream, "{:x}\r\n{end}\r\n", end.len()).expect("a client");
        stream.flush().expect("a client");
        let _ = reader.read_line(&mut line);
    });
    let path = std::env::temp_dir().join(format!("podgate-kube-bench-{}", std::process::id()));
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\n\
         contexts: [{{name: bench, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\n\
         users: [{{name: u, user: {{token: secret}}}}]\n"
    );
    std::fs::write(&path, text).expect("a kubeconfig");
    path
}
