//! Hosts that workloads are told of, and comments that silence findings.

#[allow(dead_code, reason = "each test file uses its own part of the support")]
mod support;

use podgate_api::{Ignore, Loaded, Mention, Object};
use support::check;

const SERVICES: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {ports: [{port: 6379}]}
---
apiVersion: v1
kind: Service
metadata: {name: catalogue, namespace: shop}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: kafka}
spec: {ports: [{port: 9092}]}
";

/// The mentions of the first pod or workload, as `text@line`.
fn mentions(loaded: &Loaded) -> Vec<String> {
    let found: &[Mention] = loaded
        .objects
        .iter()
        .find_map(|object| match object {
            Object::Pod(pod) => Some(&pod.mentions),
            Object::Workload(workload) => Some(&workload.template.mentions),
            _ => None,
        })
        .map_or(&[], Vec::as_slice);
    found.iter().map(|mention| format!("{}@{}", mention.text, mention.source.line)).collect()
}

#[test]
fn environment_and_command_lines_mention_services_and_outside_addresses() {
    let text = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: a}}
spec:
  initContainers:
  - name: wait
    command: [sh, -c, 'until nc -z redis 6379; do sleep 1; done; wget http://redis:6379/']
  containers:
  - name: main
    env:
    - {{name: CACHE, value: redis}}
    - {{name: CACHE_PORT, value: \"6379\"}}
    - {{name: LEVEL, value: info}}
    - {{name: SHOP, value: 'http://catalogue.shop.svc.cluster.local/x'}}
    - {{name: PAY, value: 'https://user:secret@api.example.com/v1'}}
    - {{name: FILE, value: app.example.com}}
    - {{name: PASSWORD, valueFrom: {{secretKeyRef: {{name: redis, key: redis}}}}}}
    args: ['--cache=$(CACHE):$(CACHE_PORT)', '--brokers=kafka-0.kafka:9092,kafka-1.kafka:9092', --verbose]
{SERVICES}"
    );
    assert_eq!(
        mentions(&check("a pod", &text, &[])),
        [
            "redis@11",
            "http://catalogue.shop.svc.cluster.local@14",
            "https://api.example.com@15",
            "redis:6379@18",
            "kafka-0.kafka:9092@18",
            "kafka-1.kafka:9092@18",
            "http://redis:6379@7",
        ]
    );
}

#[test]
fn config_maps_of_the_input_are_read_for_those_that_use_them() {
    let workload = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        envFrom: [{configMapRef: {name: all}}, {secretRef: {name: secret}}]
        env: [{name: A, valueFrom: {configMapKeyRef: {name: some, key: used}}}]
      volumes:
      - {name: files, configMap: {name: files}}
      - {name: more, projected: {sources: [{configMap: {name: projected}}]}}
";
    let maps = "---
apiVersion: v1
kind: ConfigMap
metadata: {name: all}
data: {CACHE: redis, OTHER: nothing}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: some}
data: {used: 'kafka:9092', unused: 'redis:1'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
data:
  nginx.conf: |
    # redis is a word here
    proxy_pass http://catalogue.shop:80;
---
apiVersion: v1
kind: ConfigMap
metadata: {name: projected}
data: {a: 'redis:2'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: all, namespace: other}
data: {CACHE: 'redis:3'}
---
apiVersion: v1
kind: ConfigMap
metadata: {labels: {a: '-'}}
";
    let loaded = check("a workload", &format!("{workload}{maps}{SERVICES}"), &[]);
    let expect = ["redis@20", "kafka:9092@25", "http://catalogue.shop:80@32", "redis:2@38"];
    let mut found = mentions(&loaded);
    found.sort_by_key(|mention| mention.rsplit('@').next().and_then(|line| line.parse::<u32>().ok()));
    assert_eq!(found, expect);
    assert!(loaded.ignored.is_empty());
    let Some(Object::Workload(workload)) = loaded.objects.first() else { panic!("a workload") };
    assert_eq!(workload.expand(&[])[0].mentions, workload.template.mentions);
}

#[track_caller]
fn ignores(text: &str) -> Vec<(u32, u32, Option<u32>, String, String)> {
    let one = |found: &Ignore| {
        let object = found.object.as_ref().map(|source| source.line);
        (found.source.line, found.source.column, object, found.ids.join(" "), found.reason.clone())
    };
    check("ignores", text, &[]).ignores.iter().map(one).collect()
}

#[test]
fn comments_silence_by_line_and_know_their_object() {
    let text = "# podgate.dev/ignore: overly-broad, the whole file
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: p
  annotations:
    podgate.dev/ignore: annotated-id
spec:
  podSelector: {}
  ingress:
  - {} # podgate.dev/ignore: empty-rule-confusion
  # é  podgate.dev/ignore: no-comment-of-ours
  é: # podgate.dev/ignore: x-y
---
apiVersion: v1
kind: List
items:
# podgate.dev/ignore: a-b

# more
- {apiVersion: v1, kind: Namespace, metadata: {name: a}}
# podgate.dev/ignore: c-d
- {apiVersion: v1, kind: Namespace, metadata: {name: b}}
#podgate.dev/ignore : e-f
---
# podgate.dev/ignore: g-h
";
    let text = text.replace("  é: #", "  #");
    let id = |id: &str| id.to_owned();
    assert_eq!(
        ignores(&text),
        [
            (1, 1, Some(2), id("overly-broad"), "the whole file".to_owned()),
            (11, 8, Some(2), id("empty-rule-confusion"), String::new()),
            (13, 3, Some(2), id("x-y"), String::new()),
            (18, 1, Some(21), id("a-b"), String::new()),
            (22, 1, Some(23), id("c-d"), String::new()),
            (24, 1, Some(23), id("e-f"), String::new()),
            (26, 1, None, id("g-h"), String::new()),
        ]
    );
}

#[test]
fn texts_that_only_look_like_the_comment_are_none() {
    for text in [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: {podgate.dev/ignore: a-b}}\n",
        "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\",\"annotations\":{\"podgate.dev/ignore\":\"a-b\"}}}",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a} #podgate.dev/ignored: a-b\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: a} # see podgate.dev/ignore: a-b\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: \"a\", labels: {b: c#podgate.dev/ignore}}\n",
    ] {
        let text = text.replace("c#podgate.dev/ignore", "c");
        assert_eq!(ignores(&text), [], "{text}");
    }
}
