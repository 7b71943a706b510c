//! Which policies were in force.

use podgate_api::Object;
use podgate_flow::PolicyVersion;
use rustc_hash::FxHasher;
use std::hash::Hasher;

/// What a policy adds to a version: equal for policies that are equal down to the lines that they are written on.
/// Sums of these make a version, so that one can be kept up to date policy by policy.
pub fn policy_hash(policy: &Object) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(format!("{policy:?}").as_bytes());
    hasher.finish()
}

/// The version of a set of policies: their order doesn't matter, other objects among them neither. Never
/// unknown.
pub fn policy_version<'a>(objects: impl IntoIterator<Item = &'a Object>) -> PolicyVersion {
    let policies = objects
        .into_iter()
        .filter(|object| matches!(object, Object::NetworkPolicy(_) | Object::ClusterPolicy(_)));
    version_of(policies.map(policy_hash).fold(0, u64::wrapping_add))
}

/// The version of a sum of hashes.
pub fn version_of(sum: u64) -> PolicyVersion {
    PolicyVersion(sum.max(1))
}
