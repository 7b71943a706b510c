//! What a container would do, as far as its manifest tells: `sleep 3; exit 1` ends, anything else runs on.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// A container that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// How long it runs.
    pub after: Duration,
    /// What it returns.
    pub code: i32,
}

/// When and how a container ends; `None`: never.
pub(super) fn ending(container: &Container) -> Option<Ending> {
    let lines = container.command.iter().chain(&container.args).flatten();
    let words: Vec<&str> = lines
        .flat_map(|line| line.split([' ', '\t', '\n', ';', '&']))
        .filter(|word| !word.is_empty())
        .collect();
    let mut ending = Ending { after: Duration::ZERO, code: 0 };
    let mut rest = words.iter();
    let mut says = false;
    while let Some(word) = rest.next() {
        match *word {
            "sleep" => ending.after += Duration::try_from_secs_f64(rest.next()?.parse().ok()?).ok()?,
            "exit" => {
                ending.code = rest.next().map_or(Some(0), |code| code.parse().ok())?;
                return Some(ending);
            }
            "true" => {}
            "false" => ending.code = 1,
            // The shell that the words are for.
            "sh" | "/bin/sh" | "bash" | "/bin/bash" | "-c" | "-ec" | "-exc" => continue,
            _ => return None,
        }
        says = true;
    }
    says.then_some(ending)
}

/// When and how the pod's containers have all ended: with the last of them, and with the worst code.
pub(super) fn pod_ending(spec: &PodSpec) -> Option<Ending> {
    let endings: Vec<Ending> = spec.containers.iter().map(ending).collect::<Option<_>>()?;
    let after = endings.iter().map(|one| one.after).max()?;
    let code = endings.iter().map(|one| one.code).max_by_key(|code| code.abs())?;
    Some(Ending { after, code })
}

/// How long the init containers take, one after another. One that would run on is taken to be done at once,
/// but for sidecars (`restartPolicy: Always`), for which nobody waits.
pub(super) fn initialization(spec: &PodSpec) -> Duration {
    let waited_for = spec.init_containers.iter().flatten().filter(|container| !is_sidecar(container));
    waited_for.filter_map(ending).map(|ending| ending.after).sum()
}

/// An init container that runs beside the others.
pub(super) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// How long the pod runs on after it was asked to end: the longest `preStop` sleep, within the grace period.
pub(super) fn farewell(spec: &PodSpec, grace: Option<i64>) -> Duration {
    let sleeps = spec.containers.iter().filter_map(|container| {
        Some(container.lifecycle.as_ref()?.pre_stop.as_ref()?.sleep.as_ref()?.seconds)
    });
    let longest = sleeps.max().unwrap_or(0).min(grace.unwrap_or(i64::MAX));
    Duration::from_secs(u64::try_from(longest).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &[&str], expected: Option<(f64, i32)>) {
        let container = Container {
            command: Some(command.iter().map(|word| (*word).to_owned()).collect()),
            ..Container::default()
        };
        let expected = expected.map(|(after, code)| Ending { after: Duration::from_secs_f64(after), code });
        assert_eq!(ending(&container), expected, "{command:?}");
    }

    #[test]
    fn a_container_ends_as_its_words_say() {
        check(&["sleep", "3"], Some((3.0, 0)));
        check(&["sh", "-c", "sleep 0.5; exit 7"], Some((0.5, 7)));
        check(&["/bin/sh", "-ec", "sleep 1 && sleep 2 && false"], Some((3.0, 1)));
        check(&["true"], Some((0.0, 0)));
        check(&["exit"], Some((0.0, 0)));
    }

    #[test]
    fn a_container_that_says_anything_else_runs_on() {
        check(&[], None);
        check(&["sh"], None);
        check(&["nginx", "-g", "daemon off;"], None);
        check(&["sleep", "infinity"], None);
        check(&["sh", "-c", "curl web; sleep 1"], None);
    }

    #[test]
    fn a_pod_ends_with_its_last_container_and_the_worst_code() {
        let container =
            |words: &str| Container { command: Some(vec![words.to_owned()]), ..Container::default() };
        let spec = |all: &[&str]| PodSpec {
            containers: all.iter().map(|words| container(words)).collect(),
            ..PodSpec::default()
        };
        let ends = Ending { after: Duration::from_secs(2), code: 3 };
        assert_eq!(pod_ending(&spec(&["sleep 2", "exit 3"])), Some(ends));
        assert_eq!(pod_ending(&spec(&["sleep 2", "nginx"])), None);
    }
}
