//! Worlds from small manifests.

use podgate_api::load_text;

use super::*;

fn world(text: &str, options: &WorldOptions) -> World {
    let loaded = load_text("test.yaml", text);
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    World::new(loaded.objects, options)
}

const SHOP: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 5
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: shop, labels: {app: probe}}
spec: {containers: [{name: probe, image: probe}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {team: ops}}, podSelector: {matchLabels: {app: probe}}}]
";

#[test]
fn workloads_get_pods_with_addresses() {
    let world = world(SHOP, &WorldOptions::default());
    let titles: Vec<String> = world.workloads.iter().map(Workload::title).collect();
    assert_eq!(titles, ["shop/probe[Pod]", "shop/web[Deployment]"]);
    assert_eq!(world.pods.len(), 3, "two of five replicas stand for all");
    assert_eq!(world.variants.len(), 2);
    assert_eq!(world.families, [Family::V4]);
    assert_eq!(world.invented.len(), 3);
    assert_eq!(world.selected_by(&world.services[0]), world.workloads[1].pods);
}

#[test]
fn pods_that_do_not_exist_yet_come_last() {
    let options = WorldOptions { hypotheses: true, ..WorldOptions::default() };
    let world = world(SHOP, &options);
    let titles: Vec<String> = world.workloads.iter().map(Workload::title).collect();
    assert_eq!(
        titles,
        [
            "shop/probe[Pod]",
            "shop/web[Deployment]",
            "[any namespace]/[any pod][Pod]",
            "[namespaces with team=ops]/[pods with app=probe][Pod]",
            "shop/[any pod][Pod]",
        ]
    );
    assert!(world.namespaces.iter().all(|namespace| !namespace.meta.name.starts_with('[')));
}

#[test]
fn the_last_of_two_pods_with_one_name_counts() {
    let pod = |label: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a, labels: {{v: {label}}}}}\nspec: {{containers: [{{name: a, image: a}}]}}\n---\n"
        )
    };
    let world = world(&(pod("first") + &pod("second")), &WorldOptions::default());
    assert_eq!(world.workloads.len(), 1);
    assert_eq!(world.workloads[0].labels["v"], "second");
}

#[test]
fn workloads_of_one_name_keep_their_pods() {
    let workload = |kind: &str, app: &str| {
        format!(
            "apiVersion: apps/v1\nkind: {kind}\nmetadata: {{name: db}}\nspec:\n  serviceName: db\n  selector: {{matchLabels: {{app: {app}}}}}\n  template:\n    metadata: {{labels: {{app: {app}}}}}\n    spec: {{containers: [{{name: c, image: c}}]}}\n---\n"
        )
    };
    let world =
        world(&(workload("Deployment", "a") + &workload("StatefulSet", "b")), &WorldOptions::default());
    let titles: Vec<String> = world.workloads.iter().map(Workload::title).collect();
    assert_eq!(titles, ["default/db[Deployment]", "default/db[StatefulSet]"]);
    assert_eq!(world.workloads[1].labels["app"], "b");
    let twice = workload("Deployment", "a") + &workload("Deployment", "b");
    let twice = self::world(&twice, &WorldOptions::default());
    assert_eq!((twice.workloads.len(), twice.pods.len()), (1, 1));
    assert_eq!(twice.workloads[0].labels["app"], "b");
}
