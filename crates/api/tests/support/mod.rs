//! How tests write manifests and read findings.

use podgate_api::{Diagnostic, Loaded, NetworkPolicy, Object, Severity, load_text};

/// A finding as tests write it: `line:column severity field: message`.
pub fn short(diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    let Diagnostic { source, field, message, .. } = diagnostic;
    format!("{}:{} {severity} {field}: {message}", source.line, source.column)
}

/// All findings, in order.
pub fn findings(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(short).collect()
}

/// Asserts exactly these findings, and returns what was loaded.
#[track_caller]
pub fn check(sentence: &str, text: &str, expect: &[&str]) -> Loaded {
    let loaded = load_text("t.yaml", text);
    assert_eq!(findings(&loaded), expect, "{sentence}\n{text}");
    loaded
}

/// The manifest of a policy; its `spec`, indented by two, starts at line 5.
pub fn policy_text(spec: &str) -> String {
    format!("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: p}}\nspec:\n{spec}\n")
}

/// The policy with this spec, which has exactly these findings.
#[track_caller]
pub fn policy(sentence: &str, spec: &str, expect: &[&str]) -> NetworkPolicy {
    let loaded = check(sentence, &policy_text(spec), expect);
    match loaded.objects.into_iter().next() {
        Some(Object::NetworkPolicy(policy)) => policy,
        other => panic!("{sentence}: no policy but {other:?}"),
    }
}
