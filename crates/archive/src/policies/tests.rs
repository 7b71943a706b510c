use podgate_api::{Loaded, load_text};

use super::*;

const POLICIES: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop, uid: 8f0c, labels: {team: a}, annotations: {note: "two\nlines"}, creationTimestamp: "2026-01-01T00:00:00Z"}
spec:
  podSelector:
    matchLabels: {app: web}
    matchExpressions:
      - {key: app, operator: In, values: [web]}
      - {key: tier, operator: NotIn, values: [b, a]}
      - {key: gone, operator: DoesNotExist}
      - {key: there, operator: Exists}
      - {key: one, operator: In, values: [v, w]}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - podSelector: {}
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
          podSelector: {matchLabels: {app: web}}
        - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}
        - ipBlock: {cidr: "fd00::/8"}
      ports:
        - {port: 80}
        - {protocol: UDP, port: 5000, endPort: 6000}
        - {protocol: SCTP}
        - {port: http}
    - {}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 7
  subject: {namespaces: {matchLabels: {a: b}}}
  ingress:
    - {name: first, action: Deny, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}}]}
    - action: Pass
      from: [{namespaces: {}}]
      protocols: [{tcp: {destinationPort: {number: 80}}}, {udp: {destinationPort: {range: {start: 1, end: 9}}}}, {destinationNamedPort: dns}]
  egress:
    - {action: Accept, to: [{networks: [192.0.2.0/24, "2001:db8::/32"]}, {nodes: {}}, {domainNames: ["*.example.com"]}]}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: AdminNetworkPolicy
metadata: {name: old}
spec:
  priority: 3
  subject: {pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}}
  egress:
    - action: Allow
      to: [{namespaces: {}}]
      ports: [{portNumber: {protocol: TCP, port: 80}}, {portRange: {protocol: UDP, start: 5, end: 9}}, {namedPort: web}]
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {name: default}
spec:
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {}}]}]
"#;

/// Each has a mistake that closes something.
const BROKEN: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: subject}
spec: {podSelector: {matchExpressions: [{key: a, operator: Like}]}, ingress: [{}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: peers}
spec:
  podSelector: {}
  ingress:
    - from: [{ipBlock: {cidr: nowhere}}]
    - ports: [{port: 99999}]
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 7
  subject: {everything: {}}
  ingress:
    - {action: Deny, from: [{someone: {}}]}
    - {action: Accept, from: [{namespaces: {}}], protocols: [{quic: {}}]}
"#;

/// Objects without the places that they were read from: those of the archive are elsewhere.
fn shape(objects: &[Object]) -> String {
    let text = format!("{objects:#?}");
    let (mut out, mut skip) = (String::new(), false);
    for line in text.lines() {
        let word = line.trim();
        skip |= word == "source: Source {" || word == "Source {" || word.starts_with("Unknown(");
        if !skip {
            out.push_str(line);
            out.push('\n');
        }
        skip &= !matches!(word, "}," | "),");
    }
    out
}

fn back(loaded: &Loaded) -> Vec<Object> {
    let dir = tempfile::tempdir().unwrap();
    remember(dir.path(), PolicyVersion(7), &loaded.objects).unwrap();
    read(dir.path(), PolicyVersion(7)).unwrap().unwrap()
}

#[test]
fn policies_come_back_as_they_were() {
    let loaded = load_text("policies.yaml", POLICIES);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.objects.len(), 5);
    assert_eq!(shape(&back(&loaded)), shape(&loaded.objects));
}

#[test]
fn what_closed_because_it_could_not_be_read_stays_closed() {
    let loaded = load_text("broken.yaml", BROKEN);
    assert_eq!(loaded.objects.len(), 3, "{:?}", loaded.diagnostics);
    assert!(loaded.diagnostics.len() >= 6, "{:?}", loaded.diagnostics);
    assert_eq!(shape(&back(&loaded)), shape(&loaded.objects));
}

#[test]
fn other_versions_are_not_known_and_damaged_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path(), PolicyVersion(1)), Ok(None));
    remember(dir.path(), PolicyVersion(1), &load_text("p", POLICIES).objects).unwrap();
    let path = path(dir.path(), PolicyVersion(1));
    let good = fs::read(&path).unwrap();
    let text = zstd::encode_all(&b"{\"kind\": \"List\""[..], 1).unwrap();
    for bad in [&good[..good.len() / 2], b"what?", &text] {
        fs::write(&path, bad).unwrap();
        let told = read(dir.path(), PolicyVersion(1)).unwrap_err().to_string();
        assert!(told.contains("policies-0000000000000001.json.zst") && told.contains("restore"), "{told}");
    }
    remember(dir.path(), PolicyVersion(1), &[]).unwrap();
    assert_eq!(fs::read(&path).unwrap(), text, "written once");
    assert_eq!(retain(dir.path(), &[PolicyVersion(1)].into()).unwrap(), fs::metadata(&path).unwrap().len());
    assert_eq!(retain(dir.path(), &BTreeSet::new()).unwrap(), 0);
    assert_eq!(read(dir.path(), PolicyVersion(1)), Ok(None));
}
