//! `podgate.dev/v1alpha1` ConnectivityTest: expectations about connections, as data.

use serde::{Deserialize, Serialize};

use crate::{Meta, Source};

/// A set of expectations.
///
/// ```yaml
/// apiVersion: podgate.dev/v1alpha1
/// kind: ConnectivityTest
/// metadata: {name: shop}
/// spec:
///   tests:
///   - name: only the API reaches the database
///     from: all
///     notFrom: shop/deploy/api
///     to: shop/svc/db
///     port: TCP/5432
///     expect: denied
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectivityTest {
    /// Name, source. The namespace, when given, is that of ends which name none.
    pub meta: Meta,
    /// `spec.tests`.
    pub cases: Vec<ConnectivityCase>,
}

/// One expectation: every connection from any of `from` to any of `to` on any of `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectivityCase {
    /// `name`; empty when absent.
    pub name: String,
    /// `from`: a text or a list of texts, each an end as on the command line, or `all`. Not empty.
    pub from: Vec<Written>,
    /// `notFrom`: ends taken out of `from`.
    pub not_from: Vec<Written>,
    /// `to`: as `from`.
    pub to: Vec<Written>,
    /// `notTo`: ends taken out of `to`.
    pub not_to: Vec<Written>,
    /// `port` or `ports`: numbers or texts such as `TCP/80`; empty: every port.
    pub ports: Vec<Written>,
    /// `expect`.
    pub expect: Expect,
    /// Where the case starts.
    pub source: Source,
}

/// A text and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The text, as on the command line.
    pub text: String,
    /// Where it is written.
    pub source: Source,
}

/// What a case expects of all its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// All are allowed.
    Allowed,
    /// All are denied.
    Denied,
}
