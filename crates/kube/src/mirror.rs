//! All that takes part in traffic, kept as the server has it.

use std::collections::{BTreeMap, BTreeSet};

use podgate_api::{Diagnostic, Loaded, Object, ObjectKey, Severity, Source};
use tokio::runtime::{Builder, Runtime};

use crate::{Client, Error, News, Options, Watched, Watching, watch};

/// What a cluster has, for those who want all of it: the kinds that are followed as their news leave them, and the others as they
/// were last read.
///
/// It has nothing to say before each followed kind was listed once.
#[derive(Debug)]
pub struct Mirror {
    followed: BTreeMap<Watched, Followed>,
    others: Loaded,
}

/// One kind.
#[derive(Debug, Default)]
struct Followed {
    objects: BTreeMap<ObjectKey, Object>,
    faults: BTreeMap<ObjectKey, Vec<Diagnostic>>,
    /// What a running list has named so far.
    listing: Option<BTreeSet<ObjectKey>>,
    was_listed: bool,
    /// Why it can't be followed at the moment.
    interrupted: Option<String>,
}

impl Mirror {
    /// Starts with what isn't followed, as [`crate::read_others`] has it.
    pub fn new(others: Loaded) -> Mirror {
        let followed = Watched::ALL.into_iter().map(|what| (what, Followed::default())).collect();
        Mirror { followed, others }
    }

    /// What isn't followed, read again. Returns whether that says anything new.
    pub fn replace_others(&mut self, others: Loaded) -> bool {
        let is_new = self.others != others;
        self.others = others;
        is_new
    }

    /// Takes news. Returns whether the cluster, or how well it can be followed, is different now.
    pub fn take(&mut self, news: News) -> bool {
        match news {
            News::Applied(what, item) => self.of(what).put(item.object),
            News::Deleted(what, key, _) => self.of(what).remove(&key),
            News::Unreadable(what, key, faults) => self.of(what).mark(key, faults),
            News::Listing(what) => {
                let followed = self.of(what);
                followed.listing = Some(BTreeSet::new());
                followed.interrupted.take().is_some()
            }
            News::Synced(what) => self.of(what).end_list(),
            News::Absent(what) => {
                let followed = self.of(what);
                followed.listing = Some(BTreeSet::new());
                followed.end_list()
            }
            News::Resumed(what) => self.of(what).interrupted.take().is_some(),
            News::Interrupted { what, why, .. } => self.of(what).interrupted.replace(why).is_none(),
        }
    }

    /// Whether each kind was listed once that answers can't do without; the others may be forbidden.
    pub fn is_complete(&self) -> bool {
        let is_known = |(what, followed): (&Watched, &Followed)| {
            followed.was_listed || (!what.is_essential() && followed.interrupted.is_some())
        };
        self.followed.iter().all(is_known)
    }

    /// Why some kind can't be followed at the moment that answers can't do without: what there is of it is old.
    pub fn interrupted(&self) -> Option<&str> {
        let essential = self.followed.iter().filter(|(what, _)| what.is_essential());
        essential.filter_map(|(_, followed)| followed.interrupted.as_deref()).next()
    }

    /// Everything, by kind, namespace and name.
    pub fn loaded(&self) -> Loaded {
        let mut loaded = self.others.clone();
        let others = std::mem::take(&mut loaded.objects);
        for (what, followed) in &self.followed {
            if let Some(why) = followed.interrupted.as_ref().filter(|_| !what.is_essential()) {
                loaded.diagnostics.push(Diagnostic {
                    severity: Severity::Warning,
                    source: Source::origin(what.resource()),
                    field: String::new(),
                    message: why.clone(),
                    help: format!(
                        "until then the answer goes on with the {} that are known",
                        what.resource()
                    ),
                });
            }
            loaded.objects.extend(followed.objects.values().cloned());
            loaded.diagnostics.extend(followed.faults.values().flatten().cloned());
            loaded.documents += followed.objects.len();
        }
        loaded.objects.extend(others);
        loaded
    }

    fn of(&mut self, what: Watched) -> &mut Followed {
        self.followed.entry(what).or_default()
    }
}

impl Followed {
    fn put(&mut self, object: Object) -> bool {
        let key = object.key();
        if let Some(listing) = &mut self.listing {
            listing.insert(key.clone());
        }
        let had_faults = self.faults.remove(&key).is_some();
        let is_new = self.objects.get(&key) != Some(&object);
        self.objects.insert(key, object);
        let is_back = self.interrupted.take().is_some();
        had_faults || is_new || is_back
    }

    /// An object that can't be read as written. What was made of it came just before.
    fn mark(&mut self, key: ObjectKey, faults: Vec<Diagnostic>) -> bool {
        if let Some(listing) = &mut self.listing {
            listing.insert(key.clone());
        }
        let is_new = self.faults.get(&key) != Some(&faults);
        self.faults.insert(key, faults);
        is_new
    }

    fn remove(&mut self, key: &ObjectKey) -> bool {
        let had_faults = self.faults.remove(key).is_some();
        self.objects.remove(key).is_some() || had_faults
    }

    /// What the list hasn't named is gone.
    fn end_list(&mut self) -> bool {
        let listed = self.listing.take().unwrap_or_default();
        let before = self.objects.len() + self.faults.len();
        self.objects.retain(|key, _| listed.contains(key));
        self.faults.retain(|key, _| listed.contains(key));
        let is_first = !std::mem::replace(&mut self.was_listed, true);
        let is_back = self.interrupted.take().is_some();
        is_first || is_back || self.objects.len() + self.faults.len() != before
    }
}

/// Follows a cluster until it is dropped, from a thread of its own.
#[derive(Debug)]
pub struct Following {
    _watching: Watching,
    // After the watch, which runs on it.
    _runtime: Runtime,
}

/// Follows all that can be followed, for a [`Mirror`]. The sink gets news in batches, those of a kind in order.
///
/// # Errors
/// No cluster is to be found. One that can't be reached is tried again, and tells so in its news.
pub fn follow(
    options: &Options,
    sink: impl Fn(Vec<News>) + Send + Sync + Clone + 'static,
) -> Result<Following, Error> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::Runtime(error.to_string()))?;
    let client = runtime.block_on(Client::connect(options))?;
    let watching = watch(&client, &Watched::ALL, runtime.handle(), move |_, news| sink(news));
    Ok(Following { _watching: watching, _runtime: runtime })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podgate_api::load_text;

    use super::*;
    use crate::Item;

    fn pod(name: &str, ip: &str) -> News {
        let text =
            format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, status: {{podIP: {ip}}}}}");
        let object = load_text("t", &text).objects.remove(0);
        News::Applied(Watched::Pods, Item { object, resource_version: "1".into(), generation: 0 })
    }

    fn key(name: &str) -> ObjectKey {
        let text = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}}}");
        load_text("t", &text).objects[0].key()
    }

    fn names(mirror: &Mirror) -> Vec<String> {
        mirror.loaded().objects.iter().map(|object| object.key().to_string()).collect()
    }

    fn listed(names: &[&str]) -> Mirror {
        let mut mirror = Mirror::new(load_text(
            "t",
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}}}}",
        ));
        for what in Watched::ALL {
            mirror.take(News::Listing(what));
            if what == Watched::Pods {
                for name in names {
                    mirror.take(pod(name, "10.0.0.1"));
                }
            }
            mirror.take(News::Synced(what));
        }
        mirror
    }

    #[test]
    fn it_is_complete_when_each_kind_was_listed() {
        let mut mirror = Mirror::new(Loaded::default());
        for (at, what) in Watched::ALL.into_iter().enumerate() {
            assert!(!mirror.is_complete(), "{at}");
            let end = if at % 2 == 0 { News::Synced(what) } else { News::Absent(what) };
            mirror.take(News::Listing(what));
            assert!(mirror.take(end), "the first list is news, be it empty");
        }
        assert!(mirror.is_complete());
    }

    #[test]
    fn objects_come_change_and_go() {
        let mut mirror = listed(&["b", "a"]);
        assert_eq!(names(&mirror), ["Pod default/a", "Pod default/b", "Deployment default/d"]);
        assert!(!mirror.take(pod("a", "10.0.0.1")), "the same again");
        assert!(mirror.take(pod("a", "10.0.0.2")));
        assert!(mirror.take(News::Deleted(Watched::Pods, key("b"), String::new())));
        assert!(!mirror.take(News::Deleted(Watched::Pods, key("b"), String::new())));
        assert_eq!(names(&mirror), ["Pod default/a", "Deployment default/d"]);
        assert!(mirror.replace_others(Loaded::default()));
        assert_eq!(names(&mirror), ["Pod default/a"]);
    }

    #[test]
    fn what_a_new_list_does_not_name_is_gone_at_its_end_and_not_before() {
        let mut mirror = listed(&["a", "b"]);
        mirror.take(News::Listing(Watched::Pods));
        mirror.take(pod("b", "10.0.0.1"));
        assert_eq!(names(&mirror).len(), 3, "an unfinished list says nothing of the others");
        // The list is interrupted and begins again.
        mirror.take(News::Listing(Watched::Pods));
        mirror.take(pod("a", "10.0.0.1"));
        assert!(mirror.take(News::Synced(Watched::Pods)));
        assert_eq!(names(&mirror), ["Pod default/a", "Deployment default/d"]);
    }

    #[test]
    fn faults_are_told_until_the_object_is_mended() {
        let fault = Diagnostic {
            severity: Severity::Error,
            source: Source::origin("c:pods/default/a"),
            field: "spec".to_owned(),
            message: "can't be read".to_owned(),
            help: String::new(),
        };
        let mut mirror = listed(&["a"]);
        let marked = || News::Unreadable(Watched::Pods, key("a"), vec![fault.clone()]);
        assert!(mirror.take(marked()));
        assert!(!mirror.take(marked()));
        assert_eq!(mirror.loaded().diagnostics, std::slice::from_ref(&fault));
        assert!(mirror.take(pod("a", "10.0.0.1")));
        assert_eq!(mirror.loaded().diagnostics, []);
    }

    #[test]
    fn a_kind_that_answers_can_do_without_holds_nothing_up() {
        let mut mirror = Mirror::new(Loaded::default());
        for what in Watched::ALL {
            mirror.take(match what.is_essential() {
                true => News::Synced(what),
                false => News::Interrupted {
                    what,
                    why: "may not be listed".to_owned(),
                    retry_in: Duration::from_secs(1),
                },
            });
        }
        assert!(mirror.is_complete());
        assert_eq!(mirror.interrupted(), None);
        let told: Vec<String> =
            mirror.loaded().diagnostics.iter().map(|found| found.source.to_string()).collect();
        assert_eq!(told, ["nodes", "services"]);
    }

    #[test]
    fn an_interruption_is_told_until_something_is_heard_again() {
        let away = || News::Interrupted {
            what: Watched::Pods,
            why: "away".to_owned(),
            retry_in: Duration::from_secs(1),
        };
        let back: [News; 4] = [
            News::Resumed(Watched::Pods),
            News::Listing(Watched::Pods),
            News::Synced(Watched::Pods),
            pod("a", "10.0.0.1"),
        ];
        for heard in back {
            let mut mirror = listed(&["a"]);
            assert!(mirror.take(away()));
            assert!(!mirror.take(away()), "still");
            assert_eq!(mirror.interrupted(), Some("away"));
            assert!(mirror.take(heard));
            assert_eq!(mirror.interrupted(), None);
        }
    }
}
