use podgate_api::load_text;

use super::*;

fn suggest(text: &str) -> Suggestion {
    let loaded = load_text("m.yaml", text);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    Suggestion::new(loaded.objects, &WorldOptions::default(), &SuggestOptions::default())
}

#[track_caller]
fn verified(text: &str) -> Suggestion {
    let suggestion = suggest(text);
    assert_eq!(suggestion.differences, [""; 0], "{}", suggestion.to_yaml());
    suggestion
}

/// The policies without default-deny and DNS, a line for each rule.
fn rules(suggestion: &Suggestion) -> Vec<String> {
    let mut lines = Vec::new();
    for policy in &suggestion.policies {
        if policy.subject.is_empty() {
            continue;
        }
        for (word, rules) in [("from", &policy.ingress), ("to", &policy.egress)] {
            for rule in rules.iter().flatten() {
                let peer = match &rule.peer {
                    SuggestedPeer::Pods { namespace, labels } => {
                        let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                        let namespace = namespace.as_ref().map(|name| format!("{name}/")).unwrap_or_default();
                        format!("{namespace}{}", labels.join(","))
                    }
                    SuggestedPeer::AnyPod => "any pod".to_owned(),
                    SuggestedPeer::Anyone => "anyone".to_owned(),
                    SuggestedPeer::Outside { .. } => "outside".to_owned(),
                };
                let ports: Vec<String> =
                    rule.ports.iter().map(|port| format!("{} {}", port.protocol, port.first)).collect();
                let name = format!("{}/{}", policy.namespace, policy.name);
                lines.push(format!("{name} {word} {peer} on {}", ports.join(", ")));
            }
        }
    }
    lines
}

fn deployment(namespace: &str, name: &str, labels: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
         selector: {{matchLabels: {labels}}}\n  template:\n    metadata: {{labels: {labels}}}\n    spec:\n      \
         containers:\n      - {{name: c, image: i, {container}}}\n---\n"
    )
}

fn service(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn shop() -> String {
    deployment(
        "shop",
        "web",
        "{app: web}",
        "env: [{name: API, value: \"http://api\"}, {name: DB, value: db.data}]",
    ) + &deployment("shop", "api", "{app: api}", "ports: [{name: http, containerPort: 9000}]")
        + &deployment("data", "db", "{app: db}", "ports: [{containerPort: 5432}]")
        + &service("shop", "api", "{selector: {app: api}, ports: [{port: 80, targetPort: http}]}")
        + &service("data", "db", "{selector: {app: db}, ports: [{port: 5432}]}")
}

#[test]
fn what_containers_are_told_of_is_allowed_on_pod_ports() {
    let suggestion = verified(&shop());
    assert_eq!(
        rules(&suggestion),
        [
            "data/allow-db from shop/app=web on TCP 5432",
            "shop/allow-api from app=web on TCP 9000",
            "shop/allow-web to app=api on TCP 9000",
            "shop/allow-web to data/app=db on TCP 5432",
        ]
    );
    let names: Vec<&str> = suggestion.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(
        names,
        ["default-deny", "allow-dns", "allow-db", "default-deny", "allow-dns", "allow-api", "allow-web"]
    );
    let yaml = suggestion.to_yaml();
    assert!(
        yaml.contains("# m.yaml:10: shop/web[Deployment] names http://api (Service shop/api port 80)"),
        "{yaml}"
    );
}

#[test]
fn policies_of_the_input_are_left_out_and_said_so() {
    let open = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: open, namespace: shop}\nspec: {podSelector: {}, ingress: [{}]}\n";
    let suggestion = verified(&(shop() + open));
    assert_eq!(suggestion.left_out, ["NetworkPolicy shop/open"]);
    assert_eq!(rules(&suggestion), rules(&verified(&shop())));
}

#[test]
fn services_for_the_outside_stay_open_on_their_target_ports() {
    let text = deployment("shop", "web", "{app: web}", "ports: [{containerPort: 8080}]")
        + &service(
            "shop",
            "web",
            "{type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}",
        );
    assert_eq!(rules(&verified(&text)), ["shop/allow-web from anyone on TCP 8080"]);
}

const INGRESS: &str = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: in, namespace: shop}\nspec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: api, port: {number: 80}}}}]}}]}\n";

#[test]
fn an_ingress_is_served_by_its_controller_where_that_is_known() {
    let api = deployment("shop", "api", "{app: api}", "ports: [{name: http, containerPort: 9000}]")
        + &service("shop", "api", "{selector: {app: api}, ports: [{port: 80, targetPort: http}]}");
    let alone = verified(&(api.clone() + INGRESS));
    assert_eq!(rules(&alone), ["shop/allow-api from any pod on TCP 9000"]);
    assert!(alone.to_yaml().contains("narrow it to the controller's namespace"));
    let controller = deployment("ingress", "nginx", "{app.kubernetes.io/name: ingress-nginx}", "ports: []");
    assert_eq!(
        rules(&verified(&(api + &controller + INGRESS))),
        [
            "ingress/allow-nginx to shop/app=api on TCP 9000",
            "shop/allow-api from ingress/app.kubernetes.io/name=ingress-nginx on TCP 9000",
        ]
    );
}

#[test]
fn the_fewest_labels_that_select_exactly_the_workload_are_taken() {
    let text = deployment("shop", "blue", "{app: web, track: blue, team: a}", "env: [{name: X, value: api}]")
        + &deployment("shop", "green", "{app: web, track: green, team: a}", "env: []")
        + &deployment("shop", "api", "{app: api}", "ports: [{containerPort: 9000}]")
        + &service("shop", "api", "{selector: {app: api}, ports: [{port: 9000}]}");
    assert_eq!(
        rules(&verified(&text)),
        ["shop/allow-api from track=blue on TCP 9000", "shop/allow-blue to app=api on TCP 9000"]
    );
}

#[test]
fn workloads_that_no_label_tells_apart_share_what_they_may() {
    let text = deployment("shop", "one", "{app: web}", "env: [{name: X, value: api}]")
        + &deployment("shop", "two", "{app: web}", "env: []")
        + &deployment("shop", "api", "{app: api}", "ports: [{containerPort: 9000}]")
        + &service("shop", "api", "{selector: {app: api}, ports: [{port: 9000}]}");
    let suggestion = verified(&text);
    assert!(
        suggestion.notes.iter().any(|note| note
            == "no labels of shop/one[Deployment] tell it from shop/two[Deployment]: what one may, the other may as well"),
        "{:?}",
        suggestion.notes
    );
}

#[test]
fn dns_is_allowed_on_its_real_ports() {
    let dns = deployment(
        "kube-system",
        "coredns",
        "{k8s-app: kube-dns}",
        "ports: [{name: dns, containerPort: 8053, protocol: UDP}]",
    ) + &service(
        "kube-system",
        "kube-dns",
        "{selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP, targetPort: dns}]}",
    );
    let suggestion = verified(&(shop() + &dns));
    let policy = suggestion.policies.iter().find(|policy| policy.name == "allow-dns").unwrap();
    let ports: Vec<String> = policy.egress.as_ref().unwrap()[0]
        .ports
        .iter()
        .map(|port| format!("{} {}", port.protocol, port.first))
        .collect();
    assert_eq!(ports, ["TCP 53", "UDP 53", "UDP 8053"]);
    assert!(suggestion.policies.iter().all(|policy| policy.namespace != "kube-system"));
}

#[test]
fn names_of_the_outside_become_public_addresses_on_one_port() {
    let text =
        deployment("shop", "pay", "{app: pay}", "env: [{name: URL, value: \"https://api.bank.example\"}]");
    let suggestion = verified(&text);
    assert_eq!(rules(&suggestion), ["shop/allow-pay to outside on TCP 443"]);
    assert!(suggestion.to_yaml().contains("NetworkPolicies know no names"));
}

#[test]
fn too_much_and_too_little_are_noticed() {
    let objects = load_text("m.yaml", &shop()).objects;
    let options = WorldOptions::default();
    let world = World::new(objects.clone(), &options);
    let (mut notes, covered) = (BTreeSet::new(), BTreeSet::from(["data".to_owned(), "shop".to_owned()]));
    let wanted = wanted::collect(&world, &covered, &mut notes);
    let draft = draft::Draft::new(&world, &covered, wanted, &mut notes);
    let good = verified(&shop());
    let differences = |change: &dyn Fn(&mut Suggestion)| {
        let mut changed = good.clone();
        change(&mut changed);
        verify::differences(&changed, objects.clone(), &options, &draft)
    };
    assert_eq!(differences(&|_| ()), [""; 0]);
    let too_little = differences(&|all| all.policies.retain(|policy| policy.name != "allow-api"));
    assert_eq!(too_little, ["shop/web[Deployment] to shop/api[Deployment]: wanted TCP 9000, allowed none"]);
    let too_much = differences(&|all| {
        let web = all.policies.iter_mut().find(|policy| policy.name == "allow-web").unwrap();
        web.egress.as_mut().unwrap()[0].ports[0].last = 9001;
        let api = all.policies.iter_mut().find(|policy| policy.name == "allow-api").unwrap();
        api.ingress.as_mut().unwrap()[0].ports[0].last = 9001;
    });
    assert_eq!(
        too_much,
        ["shop/web[Deployment] to shop/api[Deployment]: wanted TCP 9000, allowed TCP 9000-9001"]
    );
    let no_denial = differences(&|all| all.policies.retain(|policy| policy.name != "default-deny"));
    assert!(!no_denial.is_empty());
}

#[test]
fn no_two_policies_have_one_name() {
    let text = deployment("shop", "dns", "{app: dns}", "ports: [{containerPort: 80}]")
        + &service("shop", "dns", "{type: NodePort, selector: {app: dns}, ports: [{port: 80}]}");
    assert_eq!(rules(&verified(&text)), ["shop/allow-dns-deployment from anyone on TCP 80"]);
}

#[test]
fn pods_in_their_nodes_network_are_left_to_the_reader() {
    let text = deployment("shop", "web", "{app: web}", "env: [{name: X, value: agent}]")
        + &deployment("shop", "agent", "{app: agent}", "ports: [{containerPort: 80}]")
            .replace("containers:", "hostNetwork: true\n      containers:")
        + &service("shop", "agent", "{selector: {app: agent}, ports: [{port: 80}]}");
    let suggestion = verified(&text);
    assert_eq!(rules(&suggestion), [""; 0]);
    let notes = suggestion.notes.join("\n");
    assert!(
        notes.contains(
            "shop/web[Deployment] is to reach shop/agent[Deployment], which shares its node's network"
        ),
        "{notes}"
    );
}

#[test]
fn what_is_unknown_is_said() {
    let text = deployment("shop", "web", "{app: web}", "env: [{name: X, value: \"http://api:81\"}]")
        + &deployment("shop", "api", "{app: api}", "ports: [{containerPort: 9000}]")
        + &service("shop", "api", "{selector: {app: api}, ports: [{port: 80, targetPort: 9000}]}")
        + &service("shop", "idle", "{selector: {app: web}, ports: [{port: 80}]}");
    let notes = verified(&text).notes.join("\n");
    for expected in [
        "shop/web[Deployment] names http://api:81, but Service shop/api has the port 80: nothing is allowed for it",
        "nothing in the input names Service shop/idle: who uses it is unknown, and nobody is allowed to",
        "nothing tells what shop/api[Deployment] connects to: it may only ask DNS",
    ] {
        assert!(notes.contains(expected), "{expected}\n--\n{notes}");
    }
}

mod random {
    use proptest::prelude::*;

    use super::*;

    /// Workloads and Services whose references, labels and ports meet and miss each other.
    fn manifests() -> impl Strategy<Value = String> {
        let host = prop::sample::select(vec![
            "s0",
            "s1.ns1",
            "http://s2",
            "s1:81",
            "s2.ns0.svc",
            "https://x.example",
            "s9",
            "s0.ns1.svc.cluster.local:80",
        ]);
        let workload = (0..2usize, 0..3usize, 0..3usize, prop::collection::vec(host, 0..3), any::<bool>());
        let target = prop::sample::select(vec!["9000", "http", "nowhere", "81"]);
        let kind = prop::sample::select(vec!["ClusterIP", "LoadBalancer", "NodePort"]);
        let service = (0..2usize, 0..3usize, 0..3usize, target, kind, any::<bool>());
        let workloads = prop::collection::vec(workload, 1..6);
        let services = prop::collection::vec(service, 0..5);
        (workloads, services, any::<bool>()).prop_map(|(workloads, services, ingress)| {
            let mut text = String::new();
            for (number, (namespace, app, track, hosts, named)) in workloads.into_iter().enumerate() {
                let env: Vec<String> = hosts
                    .iter()
                    .enumerate()
                    .map(|(at, host)| format!("{{name: E{at}, value: \"{host}\"}}"))
                    .collect();
                let port = if named { "{name: http, containerPort: 9000}" } else { "{containerPort: 81}" };
                let labels = match track {
                    0 => format!("{{app: a{app}}}"),
                    _ => format!("{{app: a{app}, track: \"{track}\"}}"),
                };
                let container = format!("env: [{}], ports: [{port}]", env.join(", "));
                text += &deployment(&format!("ns{namespace}"), &format!("w{number}"), &labels, &container);
            }
            for (namespace, name, app, target, kind, headless) in services {
                let head = if headless && kind == "ClusterIP" { ", clusterIP: None" } else { "" };
                let spec = format!(
                    "{{type: {kind}{head}, selector: {{app: a{app}}}, ports: [{{port: 80, targetPort: {target}}}]}}"
                );
                text += &service_once(&text, &format!("ns{namespace}"), &format!("s{name}"), &spec);
            }
            if ingress {
                text += &INGRESS.replace("namespace: shop", "namespace: ns0").replace("name: api", "name: s0");
            }
            text
        })
    }

    fn service_once(before: &str, namespace: &str, name: &str, spec: &str) -> String {
        let text = service(namespace, name, spec);
        let head: String = text.lines().take(3).collect::<Vec<_>>().join("\n");
        if before.contains(&head) { String::new() } else { text }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        /// The engine says of the manifests with the suggestion: what is wanted is allowed, nothing else is.
        #[test]
        fn what_is_suggested_allows_what_is_wanted_and_nothing_else(text in manifests()) {
            let suggestion = suggest(&text);
            prop_assert_eq!(&suggestion.differences, &Vec::<String>::new(), "{}\n{}", text, suggestion.to_yaml());
            prop_assert_eq!(suggest(&text).to_yaml(), suggestion.to_yaml(), "the same twice");
        }
    }
}
