//! The nodes of a cluster do for pods what a kubelet and kube-proxy do: jobs end, pods take their leave, a
//! kubelet that is started again knows its pods, and nothing stays behind. Needs root.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use podgate_lab::netns;
use podgate_lab_kubernetes::{Cluster, Part};
use podgate_tests::asking::ask;
use podgate_tests::kubernetes::{says, start_bare, wait_until};

const PROCESS: &str = env!("CARGO_BIN_EXE_cluster-process");

const MANIFESTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: batch/v1
kind: Job
metadata: {name: good, namespace: shop}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i, command: [sh, -c, sleep 0.2; exit 0]}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: bad, namespace: shop}
spec: {backoffLimit: 0, template: {spec: {restartPolicy: Never, containers: [{name: c, image: i, command: [exit, '3']}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec: {nodeName: node-1, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: slow, namespace: shop, labels: {app: slow}}
spec:
  nodeName: node-2
  containers: [{name: c, image: i, ports: [{containerPort: 8080}], lifecycle: {preStop: {sleep: {seconds: 2}}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: shop, labels: {app: host}}
spec: {nodeName: node-2, hostNetwork: true, containers: [{name: c, image: i, ports: [{containerPort: 9090}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: quick, namespace: shop}
spec: {nodeName: node-2, containers: [{name: c, image: i, ports: [{containerPort: 8080}, {containerPort: 53, protocol: UDP}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: slow, namespace: shop}
spec: {type: NodePort, ipFamilyPolicy: PreferDualStack, selector: {app: slow}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
";

fn get(cluster: &Cluster, arguments: &[&str]) -> String {
    let all: Vec<&str> = ["-n", "shop", "get"].iter().chain(arguments).copied().collect();
    cluster.kubectl(&all).unwrap_or_else(|error| error.to_string())
}

#[test]
fn nodes_do_for_pods_what_pods_need() {
    let cluster = start_bare(PROCESS, "nodes");
    cluster.apply(MANIFESTS).unwrap();
    for name in ["pod/client", "pod/slow", "pod/host", "pod/quick"] {
        cluster.wait_ready("shop", name).unwrap();
    }
    jobs_end(&cluster);
    services_lead_to_pods(&cluster);
    a_pod_takes_its_leave(&cluster);
    a_kubelet_knows_its_pods_again(&cluster);
    let (site, lab) = (cluster.site().clone(), cluster.site().lab());
    drop(cluster);
    assert_eq!(netns::list(&format!("pg-{lab}-")), Vec::<String>::new());
    assert!(!site.dir().exists());
    for part in [Part::Etcd, Part::ApiServer, Part::Kubelet(1), Part::Responder(2)] {
        assert_eq!(podgate_lab_kubernetes::processes::find(&site, part), None, "{part}");
    }
}

fn jobs_end(cluster: &Cluster) {
    wait_until("the good job is done", || {
        get(cluster, &["job", "good", "-o", "jsonpath={.status.succeeded}"]) == "1"
    });
    wait_until("the bad job has failed", || {
        get(cluster, &["job", "bad", "-o", "jsonpath={.status.failed}"]) == "1"
    });
    let pods = get(
        cluster,
        &[
            "pods",
            "-l",
            "job-name",
            "-o",
            r#"jsonpath={range .items[*]}{.metadata.labels.job-name} {.status.phase} {.status.podIP} {.status.containerStatuses[0].state.terminated.exitCode}{"\n"}{end}"#,
        ],
    );
    let mut lines: Vec<Vec<&str>> = pods.lines().map(|line| line.split(' ').collect()).collect();
    lines.sort();
    let [bad, good] = &lines[..] else { panic!("{pods}") };
    assert_eq!((bad[1], bad[3]), ("Failed", "3"), "{pods}");
    assert_eq!((good[1], good[3]), ("Succeeded", "0"), "{pods}");
    // Finished pods show the address that they had, and have given it back.
    assert!(good[2].parse::<IpAddr>().is_ok() && bad[2].parse::<IpAddr>().is_ok(), "{pods}");
    let networked: Vec<String> = cluster.pods().into_iter().map(|(_, pod)| pod.name).collect();
    assert_eq!(networked, ["client", "host", "quick", "slow"]);
}

fn services_lead_to_pods(cluster: &Cluster) {
    let client = cluster.pod("shop", "client").unwrap().netns;
    let ips = get(cluster, &["service", "slow", "-o", "jsonpath={.spec.clusterIPs[*]}"]);
    for ip in ips.split(' ').map(|ip| ip.parse().unwrap()) {
        wait_until("the Service leads to its pod", || says(&client, ip, 80).starts_with("shop/slow 8080"));
    }
    let underlay = cluster.site().underlay(2).unwrap();
    for node in &underlay.nodes[1..] {
        let heard = says(&underlay.outside.netns, node.v4(), 30080);
        assert!(heard.starts_with("shop/slow 8080"), "{}: {heard:?}", node.name);
    }
    let host = cluster.pod("shop", "host").unwrap();
    assert_eq!(host.ips, underlay.nodes[2].addresses, "the host network's pods have the node's addresses");
    assert!(says(&client, host.ips[0], 9090).starts_with("shop/host 9090"));
    let quick = SocketAddr::new(cluster.pod("shop", "quick").unwrap().ips[0], 53);
    let heard = netns::run(&client, || ask("udp", None, quick, b"hello")).unwrap();
    assert!(heard.starts_with("shop/quick 53 UDP"), "{heard:?}");
}

fn a_pod_takes_its_leave(cluster: &Cluster) {
    let (client, slow) = (cluster.pod("shop", "client").unwrap().netns, cluster.pod("shop", "slow").unwrap());
    let asked = Instant::now();
    cluster.kubectl(&["-n", "shop", "delete", "pod", "slow", "--wait=false"]).unwrap();
    let heard = says(&client, slow.ips[0], 8080);
    assert!(heard.starts_with("shop/slow"), "it runs on for its preStop time, and says {heard:?}");
    wait_until("its object is gone", || get(cluster, &["pod", "slow"]).contains("not found"));
    assert!(asked.elapsed() > Duration::from_millis(1900), "{:?}", asked.elapsed());
    assert!(!netns::exists(&slow.netns), "and so is its namespace");
}

fn a_kubelet_knows_its_pods_again(cluster: &Cluster) {
    let (client, quick) =
        (cluster.pod("shop", "client").unwrap().netns, cluster.pod("shop", "quick").unwrap());
    cluster.kill(Part::Kubelet(2)).unwrap();
    assert!(says(&client, quick.ips[0], 8080).starts_with("shop/quick"), "pods need no kubelet");
    // One goes while nobody looks.
    cluster.kubectl(&["-n", "shop", "delete", "pod", "host", "--force", "--grace-period=0"]).unwrap();
    cluster.start_part(Part::Kubelet(2)).unwrap();
    wait_until("it is cleaned up after", || cluster.pod("shop", "host").is_err());
    assert_eq!(cluster.pod("shop", "quick").unwrap(), quick, "the other is as it was");
    assert!(says(&client, quick.ips[0], 8080).starts_with("shop/quick"));
    cluster.kubectl(&["-n", "shop", "delete", "pod", "quick"]).unwrap();
    assert!(!netns::exists(&quick.netns), "and is still its own");
}
