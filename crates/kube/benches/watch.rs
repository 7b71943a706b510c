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
use podgate_bench::served::{ServedPod, pod};
use podgate_kube::{Client, News, Options, Watched, watch};

fn main() {
    // Cargo adds an argument of its own.
    let pods = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let lines: Vec<String> = (0..pods)
        .map(|index| {
            format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", pod(&ServedPod::new(index, 20_000, 2_000)))
        })
        .collect();
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
    let watching = watch(&client, &[Watched::Pods], runtime.handle(), move |_, batch| {
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
