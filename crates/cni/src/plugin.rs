//! What the plugin does with each command.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use crate::spec::{Code, Config, Failure, NEWEST, PreviousResult, VERSIONS, VersionResult};
use crate::{Attachment, Claims, PodName, Refusal, Reply, Request, ask};

/// The name that runtimes run the plugin by: `type` in a network configuration.
pub const PLUGIN: &str = "podgate-cni";

/// How long anything but ADD waits for the agent.
const PATIENCE: Duration = Duration::from_secs(5);
/// The agent's own limit runs out first, so that its reason is heard.
const MARGIN: Duration = Duration::from_secs(1);

/// Runs the plugin as a runtime calls it: `variable` reads the environment.
///
/// What is written to `output` is the specification's result or error; hints for people go to `errors`.
pub fn run(
    variable: impl Fn(&str) -> Option<String>,
    mut input: impl Read,
    mut output: impl Write,
    mut errors: impl Write,
) -> ExitCode {
    let mut text = String::new();
    let read = input.read_to_string(&mut text);
    let mut version = NEWEST.to_owned();
    let done = match read {
        Ok(_) => carry_out(&variable, &text, &mut version, &mut errors),
        Err(error) => Err(Problem::new(Code::Io, format!("standard input can't be read: {error}"))),
    };
    let (written, code) = match done {
        Ok(result) => (output.write_all(result.as_bytes()), ExitCode::SUCCESS),
        Err(Problem { code, message, details }) => {
            let failure = Failure { cni_version: version, code: code as u32, msg: message, details };
            let text = serde_json::to_string(&failure).unwrap_or_default();
            (writeln!(output, "{text}"), ExitCode::FAILURE)
        }
    };
    match written {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

#[derive(Debug)]
struct Problem {
    code: Code,
    message: String,
    details: String,
}

impl Problem {
    fn new(code: Code, message: impl Into<String>) -> Problem {
        Problem { code, message: format!("podgate: {}", message.into()), details: String::new() }
    }

    fn help(self, details: impl Into<String>) -> Problem {
        Problem { details: details.into(), ..self }
    }
}

/// Everything but ADD and VERSION has no result.
fn carry_out(
    variable: &impl Fn(&str) -> Option<String>,
    text: &str,
    version: &mut String,
    errors: &mut impl Write,
) -> Result<String, Problem> {
    let command = needed(variable, "CNI_COMMAND")?;
    let config: Config<'_> = match serde_json::from_str(text) {
        Ok(config) => config,
        Err(_) if command == "VERSION" && text.trim().is_empty() => return versions(NEWEST),
        Err(error) => {
            return Err(Problem::new(
                Code::Decoding,
                format!("the network configuration can't be read: {error}"),
            ));
        }
    };
    if !config.cni_version.is_empty() {
        version.clone_from(&config.cni_version);
    }
    if command == "VERSION" {
        return versions(version);
    }
    if !VERSIONS.contains(&version.as_str()) {
        return Err(Problem::new(
            Code::IncompatibleVersion,
            format!("cniVersion {version} is not supported"),
        )
        .help(format!("supported are {}", VERSIONS.join(", "))));
    }
    match command.as_str() {
        "ADD" => add(variable, &config, errors),
        "CHECK" => {
            let request = Request::Check { attachment: attachment(variable)?, ips: addresses(&config)? };
            ask_agent(&config, &request, PATIENCE).map_err(|error| error.as_problem(Code::TryAgainLater))
        }
        "DEL" => {
            let attachment = attachment(variable)?;
            // A pod must be able to go without the agent, which finds the claim gone when it is back.
            if let Err(error) =
                ask_agent(&config, &Request::Delete { attachment: attachment.clone() }, PATIENCE)
            {
                let forgotten = Claims::beside(&config.socket).forget(&attachment);
                let problem = error.as_problem(Code::Io);
                hint(errors, &format!("{}; the pod goes without it", problem.message));
                forgotten.map_err(|error| Problem::new(Code::Io, error.to_string()))?;
            }
            Ok(String::new())
        }
        "GC" => {
            let Some(valid) = config.valid_attachments else {
                return Err(Problem::new(Code::InvalidConfig, "GC without cni.dev/valid-attachments"));
            };
            let valid = valid.into_iter().map(Attachment::from).collect();
            let config = Config { valid_attachments: None, ..config };
            ask_agent(&config, &Request::Collect { valid }, PATIENCE)
                .map_err(|error| error.as_problem(Code::TryAgainLater))
        }
        "STATUS" => ask_agent(&config, &Request::Status, PATIENCE)
            .map_err(|error| error.as_problem(Code::NotAvailable)),
        other => Err(Problem::new(Code::InvalidEnvironment, format!("CNI_COMMAND={other} is not known"))),
    }
}

fn versions(version: &str) -> Result<String, Problem> {
    let result = VersionResult { cni_version: version.to_owned(), supported_versions: VERSIONS };
    serde_json::to_string(&result).map_err(|error| Problem::new(Code::Io, error.to_string()))
}

fn add(
    variable: &impl Fn(&str) -> Option<String>,
    config: &Config<'_>,
    errors: &mut impl Write,
) -> Result<String, Problem> {
    let attachment = attachment(variable)?;
    let Some(previous) = config.prev_result else {
        return Err(Problem::new(Code::InvalidConfig, "no prevResult: another plugin has to come first")
            .help(format!("put {{\"type\": \"{PLUGIN}\"}} last in the list of plugins")));
    };
    let ips = addresses(config)?;
    // Policies are about pods; other containers pass.
    if let Some(pod) = pod_of(&variable("CNI_ARGS").unwrap_or_default())
        && !ips.is_empty()
    {
        let patience = Duration::from_secs(config.timeout_seconds);
        let patience_ms = patience.as_millis() as u64;
        let request = Request::Add { attachment, pod, ips, patience_ms };
        if let Err(error) = ask_agent(config, &request, patience + MARGIN) {
            let problem = error.as_problem(Code::TryAgainLater);
            if config.strict {
                return Err(problem);
            }
            hint(errors, &format!("{}; the pod starts all the same (strict is off)", problem.message));
        }
    }
    Ok(previous.get().to_owned())
}

/// Why the agent did not do what it was asked.
enum Unmet {
    NotReached(std::path::PathBuf, std::io::Error),
    Refused(Refusal),
}

impl Unmet {
    /// `code`: what trying again can help with.
    fn as_problem(&self, code: Code) -> Problem {
        match self {
            Unmet::NotReached(socket, error) => Problem::new(
                code,
                format!("the node agent can't be asked: {}: {error}", socket.display()),
            )
            .help("see whether the podgate pod of this node runs; strict: false lets pods start without it"),
            Unmet::Refused(Refusal { retry, message, help }) => {
                Problem::new(if *retry { code } else { Code::Refused }, message).help(help)
            }
        }
    }
}

/// Nothing but "done" is no result: empty output.
fn ask_agent(config: &Config<'_>, request: &Request, patience: Duration) -> Result<String, Unmet> {
    match ask(&config.socket, request, patience) {
        Ok(Reply::Done) => Ok(String::new()),
        Ok(Reply::Refused(refusal)) => Err(Unmet::Refused(refusal)),
        Err(error) => Err(Unmet::NotReached(config.socket.clone(), error)),
    }
}

/// A failure to write a hint changes nothing.
fn hint(errors: &mut impl Write, text: &str) {
    let _ = writeln!(errors, "{text}");
}

fn needed(variable: &impl Fn(&str) -> Option<String>, name: &str) -> Result<String, Problem> {
    let value = variable(name).filter(|value| !value.is_empty());
    value.ok_or_else(|| {
        Problem::new(Code::InvalidEnvironment, format!("{name} is not set"))
            .help("this program is run by a container runtime, as a CNI plugin")
    })
}

fn attachment(variable: &impl Fn(&str) -> Option<String>) -> Result<Attachment, Problem> {
    Ok(Attachment {
        container: needed(variable, "CNI_CONTAINERID")?,
        interface: needed(variable, "CNI_IFNAME")?,
    })
}

fn addresses(config: &Config<'_>) -> Result<Vec<std::net::IpAddr>, Problem> {
    let Some(previous) = config.prev_result else { return Ok(Vec::new()) };
    let result: PreviousResult = serde_json::from_str(previous.get())
        .map_err(|error| Problem::new(Code::Decoding, format!("prevResult can't be read: {error}")))?;
    Ok(result.ips())
}

/// `CNI_ARGS` is a list of `KEY=VALUE`, separated by semicolons.
fn pod_of(arguments: &str) -> Option<PodName> {
    let value = |key: &str| {
        arguments.split(';').find_map(|pair| pair.split_once('=').filter(|(k, _)| *k == key)).map(|(_, v)| v)
    };
    Some(PodName {
        namespace: value("K8S_POD_NAMESPACE")?.to_owned(),
        name: value("K8S_POD_NAME")?.to_owned(),
        uid: value("K8S_POD_UID").unwrap_or_default().to_owned(),
    })
}
