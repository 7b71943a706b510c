//! Which records a reader wants.
//!
//! A [`Terms`] is a list of questions; a record fits when it fits each one that is asked, and for one question it is
//! enough to fit one of the answers. A [`Filter`] is some of them that a record may fit, and some that it must not.

mod end;
mod flags;
mod given;
mod identity;
mod labels;
mod pattern;
mod terms;
mod view;

pub use end::{EndTerms, NamePrefix, WorkloadName};
pub use flags::{FLAGS, Flag};
pub use given::{Given, UnusableFilter};
pub use identity::identity;
pub use labels::LabelTerms;
pub use pattern::Pattern;
pub use terms::{Denial, Family, PolicyName, RuleName, Terms};
pub use view::{End, View};

use crate::{FlowRecord, FlowVerdict, Party};

/// A choice of records; empty: all of them.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Denied ones only.
    pub denied: bool,
    /// Records with one of these at either end: `namespace/pod`, `namespace/`, or a pod's, owner's or
    /// node's name.
    pub pods: Vec<String>,
    /// Records that fit one of these, when there are any.
    pub any_of: Vec<Terms>,
    /// And none of these.
    pub none_of: Vec<Terms>,
}

impl Filter {
    /// Whether the record is wanted.
    pub fn accepts(&self, record: &FlowRecord) -> bool {
        self.accepts_view(View::whole(record))
    }

    /// Whether a record, or one direction of it, is wanted.
    pub fn accepts_view(&self, view: View<'_>) -> bool {
        if self.denied && view.verdict() != FlowVerdict::Denied {
            return false;
        }
        let record = view.record();
        let named = |name: &String| {
            names_party(name, &record.source.party) || names_party(name, &record.destination.party)
        };
        (self.pods.is_empty() || self.pods.iter().any(named))
            && (self.any_of.is_empty() || self.any_of.iter().any(|terms| terms.accept(view)))
            && !self.none_of.iter().any(|terms| terms.accept(view))
    }
}
/// Whether a name as a person writes it means this party.
fn names_party(name: &str, party: &Party) -> bool {
    match party {
        Party::Pod { namespace, pod, owner, .. } => {
            let bare = match name.split_once('/') {
                Some((wanted, _)) if wanted != namespace => return false,
                Some((_, "")) => return true,
                Some((_, bare)) => bare,
                None => name,
            };
            bare == pod || owner.as_ref().is_some_and(|owner| owner.name == bare)
        }
        Party::Node { node } => name == node,
        Party::Outside { name: given } => given.as_deref().unwrap_or("outside") == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnerName;

    #[test]
    fn names_mean_pods_owners_namespaces_nodes_and_the_outside() {
        let pod = Party::Pod {
            namespace: "shop".into(),
            pod: "web-0".into(),
            owner: Some(OwnerName { kind: "Deployment".into(), name: "web".into() }),
            node: None,
            labels: Default::default(),
        };
        let node = Party::Node { node: "node-1".into() };
        let outside = Party::Outside { name: None };
        for (name, is_pod, is_node, is_outside) in [
            ("web-0", true, false, false),
            ("web", true, false, false),
            ("shop/web", true, false, false),
            ("shop/web-0", true, false, false),
            ("shop/", true, false, false),
            ("other/web", false, false, false),
            ("we", false, false, false),
            ("node-1", false, true, false),
            ("outside", false, false, true),
        ] {
            assert_eq!(names_party(name, &pod), is_pod, "{name} and the pod");
            assert_eq!(names_party(name, &node), is_node, "{name} and the node");
            assert_eq!(names_party(name, &outside), is_outside, "{name} and the outside");
        }
    }
}
