//! Manifests as people publish them load without errors.

use std::path::{Path, PathBuf};

use podgate_api::{Input, Loaded, Object, Severity, load};

fn read(path: &Path) -> Loaded {
    load(&[Input::Path(path.to_owned())])
}

#[track_caller]
fn assert_no_errors(loaded: &Loaded) {
    let errors: Vec<String> = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error)
        .map(ToString::to_string)
        .collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

fn count(loaded: &Loaded, of: impl Fn(&Object) -> bool) -> usize {
    loaded.objects.iter().filter(|object| of(object)).count()
}

/// Kinds that a set of manifests holds: namespaces, workloads, Services, policies.
#[track_caller]
fn assert_counts(loaded: &Loaded, expect: [usize; 4]) {
    assert_no_errors(loaded);
    let found = [
        count(loaded, |o| matches!(o, Object::Namespace(_))),
        count(loaded, |o| matches!(o, Object::Workload(_))),
        count(loaded, |o| matches!(o, Object::Service(_))),
        count(loaded, |o| matches!(o, Object::NetworkPolicy(_))),
    ];
    assert_eq!(found, expect);
}

/// Published manifests next to the checkout; where they are absent, our own small shop stands in.
fn published_or_own(folder: &str, published: [usize; 4]) {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(folder);
    if shared.is_dir() {
        assert_counts(&read(&shared), published);
    } else {
        assert_counts(&read(&own()), [1, 1, 1, 1]);
    }
}

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop.yaml")
}

#[test]
fn sock_shop_loads_without_errors() {
    published_or_own("sock-shop", [3, 20, 18, 13]);
}

#[test]
fn online_boutique_loads_without_errors() {
    published_or_own("online-boutique", [0, 12, 12, 13]);
}

#[test]
fn a_small_shop_loads_without_any_finding() {
    let loaded = read(&own());
    assert_counts(&loaded, [1, 1, 1, 1]);
    assert_eq!(loaded.diagnostics, []);
    assert_eq!(loaded.documents, 5);
    assert!(loaded.ignored.is_empty(), "a ConfigMap is read for the hosts in it: {:?}", loaded.ignored);
}
