//! What the agent hears, and what it takes down of it.

use podgate_api::{Diagnostic, Object, mode_of};

use super::*;

impl Agent {
    /// Hears a message and all that wait behind it. `false`: the agent is to end.
    pub(super) fn hear_all(
        &mut self,
        first: Message,
        inbox: &Receiver<Message>,
        watching: &Watching,
    ) -> bool {
        let begun = Instant::now();
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::News(heard, news) => self.hear(heard, news),
                Message::Cni(call) => self.answer_call(call, watching),
                Message::Status(reply) => drop(reply.send(Box::new(self.status()))),
                Message::Stop => return false,
            }
            // The first lists come in one go: publishing half of them would be work for nothing.
            let is_late = self.inventory.is_synced() && begun.elapsed() >= GATHER;
            next = if is_late { None } else { inbox.try_recv().ok() };
        }
        true
    }

    fn hear(&mut self, heard: Heard, news: Vec<News>) {
        let mut is_own_node = false;
        let mut all = news.into_iter().peekable();
        while let Some(news) = all.next() {
            // What is wrong with an object comes behind what could be made of it.
            let fault = match (&news, all.peek()) {
                (News::Applied(_, item), Some(News::Unreadable(_, key, found)))
                    if item.object.key() == *key =>
                {
                    said(found)
                }
                _ => String::new(),
            };
            self.note_source(&news, &fault);
            self.touch_names(&news);
            let Some(news) = self.hear_service(news) else { continue };
            let note = self.tracer.as_ref().and_then(|tracer| tracer.note(&news));
            let effect = self.staging.take(news, &mut self.inventory, &mut self.gate);
            is_own_node |= effect.is_own_node;
            if effect.is_change {
                self.heard.get_or_insert(heard.read);
                if let (Some(tracer), Some(note)) = (&mut self.tracer, note) {
                    tracer.hear(heard.read, heard.decoded, note);
                }
            }
        }
        if is_own_node {
            self.follow_pod_cidrs();
        }
    }

    /// `fault`: what is wrong with an object that is applied; empty when nothing is.
    fn note_source(&mut self, news: &News, fault: &str) {
        let (News::Listing(what)
        | News::Applied(what, _)
        | News::Deleted(what, ..)
        | News::Unreadable(what, ..)
        | News::Synced(what)
        | News::Absent(what)
        | News::Resumed(what)
        | News::Interrupted { what, .. }) = news;
        let source = self.sources.entry(*what).or_default();
        let label = Resource { resource: what.resource() };
        source.news += 1;
        self.metrics.news.get_or_create(&label).inc();
        match news {
            News::Interrupted { why, retry_in, .. } => {
                source.interruptions += 1;
                self.metrics.interruptions.get_or_create(&label).inc();
                tracing::warn!(
                    resource = what.resource(),
                    why,
                    retry_ms = retry_in.as_millis() as u64,
                    "the API server can't be followed; what is in the kernel stays in force"
                );
                source.interrupted.clone_from(why);
            }
            News::Absent(_) => {
                source.is_absent = true;
                source.interrupted.clear();
            }
            News::Resumed(_) => source.interrupted.clear(),
            News::Applied(what, item) => {
                source.interrupted.clear();
                source.is_absent = false;
                let key = item.object.key();
                let known = self.faults.remove(&key.to_string());
                if let Some(message) = misspelt_mode(&item.object) {
                    if known.is_none_or(|known| known.message != message) {
                        tracing::warn!(object = %key, message, "taken for enforced");
                        self.tell_fault(*what, &key, "ModeNotUnderstood", &message);
                    }
                    self.faults.insert(key.to_string(), FaultyPolicy { what: *what, message });
                }
                if matches!(
                    what,
                    Watched::ClusterNetworkPolicies
                        | Watched::AdminNetworkPolicies
                        | Watched::BaselineAdminNetworkPolicies
                ) {
                    let meta = item.object.meta();
                    let (name, uid) = (meta.name.clone(), meta.uid.clone());
                    self.tell_policy(*what, &name, &uid, item.generation, fault);
                }
            }
            News::Deleted(_, key, _) => drop(self.faults.remove(&key.to_string())),
            News::Unreadable(what, key, diagnostics) => {
                let message = said(diagnostics);
                tracing::warn!(object = %key, message, "can't be enforced as written");
                let is_known =
                    self.faults.get(&key.to_string()).is_some_and(|fault| fault.message == message);
                if !is_known {
                    self.tell_fault(*what, key, "PolicyNotUnderstood", &message);
                }
                self.faults.insert(key.to_string(), FaultyPolicy { what: *what, message });
            }
            News::Synced(_) | News::Listing(_) => {
                self.hand_back = Some(Instant::now() + HAND_BACK_AFTER);
                source.interrupted.clear();
                source.is_absent = false;
            }
        }
        self.metrics.connect(*what, self.sources[what].interrupted.is_empty());
    }
}

/// What is wrong with the mode that a policy or namespace is annotated with; such a policy is enforced.
fn misspelt_mode(object: &Object) -> Option<String> {
    match object {
        Object::Namespace(_) | Object::NetworkPolicy(_) | Object::ClusterPolicy(_) => {
            mode_of(&object.meta().annotations)?.err()
        }
        _ => None,
    }
}

/// What is wrong with an object, in one line.
fn said(found: &[Diagnostic]) -> String {
    let faults = found.iter().map(|fault| format!("{}: {}", fault.field, fault.message));
    faults.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_mode_is_a_fault_of_policies_and_namespaces_alone() {
        let said = |kind: &str, mode: &str| {
            let (group, spec) = match kind {
                "NetworkPolicy" => ("networking.k8s.io/v1", "podSelector: {}"),
                "Pod" => ("v1", "containers: [{name: c, image: i}]"),
                _ => ("v1", ""),
            };
            let text = format!(
                "{{apiVersion: {group}, kind: {kind}, metadata: {{name: a, annotations: {{podgate.dev/mode: {mode}}}}}, spec: {{{spec}}}}}"
            );
            misspelt_mode(&podgate_api::load_text("o.yaml", &text).objects[0])
        };
        for kind in ["NetworkPolicy", "Namespace"] {
            assert_eq!((said(kind, "staged"), said(kind, "enforced")), (None, None), "{kind}");
            let message = said(kind, "stagged").unwrap();
            assert!(message.contains("stagged") && message.contains("staged"), "{kind}: {message}");
        }
        assert_eq!(said("Pod", "stagged"), None);
    }
}
