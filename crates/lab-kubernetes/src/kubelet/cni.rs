//! Running a chain of CNI plugins, as a container runtime does.
//!
//! Source: the Container Network Interface specification 1.1.0, sections 2 to 4.

use std::fmt;
use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use podgate_lab::{Error, Result};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The interface that each pod gets.
pub const INTERFACE: &str = "eth0";

/// A network configuration list, and where its plugins are.
#[derive(Clone, Debug)]
pub struct Chain {
    version: String,
    name: String,
    plugins: Vec<Map<String, Value>>,
    directories: Vec<PathBuf>,
}

/// A pod's attachment to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The sandbox's id, never used twice.
    pub container: String,
    /// Path of its network namespace; empty when that is gone.
    pub netns: String,
    /// `CNI_ARGS`.
    pub args: Vec<(&'static str, String)>,
}

/// What a plugin said when it failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// An error code of the specification, or of the plugin from 100 on.
    #[serde(default)]
    pub code: u32,
    /// What happened.
    #[serde(rename = "msg", default)]
    pub message: String,
    /// More of it.
    #[serde(default)]
    pub details: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.message.as_str(), self.details.as_str()) {
            (message, "") => write!(f, "{message} (code {})", self.code),
            (message, details) => write!(f, "{message}: {details} (code {})", self.code),
        }
    }
}

/// The keys of a configuration list that matter to a runtime.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    cni_version: String,
    #[serde(default)]
    cni_versions: Vec<String>,
    name: String,
    plugins: Vec<Map<String, Value>>,
}

impl Chain {
    /// Reads a configuration list, and agrees with its plugins on a version: the newest that the list allows
    /// and all of them know.
    ///
    /// # Errors
    /// When the file can't be read, a plugin is missing, or there is no such version.
    pub fn read(file: &Path, directories: &[PathBuf]) -> Result<Chain> {
        let text = fs::read(file).map_err(|e| Error::io(format!("read {}", file.display()), e))?;
        let list: List = serde_json::from_slice(&text)
            .map_err(|error| Error::message(format!("{}: {error}", file.display())))?;
        let mut chain = Chain {
            version: list.cni_version.clone(),
            name: list.name,
            plugins: list.plugins,
            directories: directories.to_vec(),
        };
        let mut allowed = list.cni_versions;
        allowed.push(list.cni_version);
        for plugin in &chain.plugins {
            let known = chain.versions(plugin)?;
            allowed.retain(|version| known.contains(version));
        }
        chain.version = allowed.into_iter().max_by_key(|version| numbers(version)).ok_or_else(|| {
            Error::message(format!("{}: its plugins have no version in common with it", file.display()))
        })?;
        Ok(chain)
    }

    /// The version of the specification that is spoken.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn versions(&self, plugin: &Map<String, Value>) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Versions {
            supported_versions: Vec<String>,
        }
        let input = json!({ "cniVersion": self.version });
        let said = self.execute(plugin, "VERSION", &Attachment::nobody(), &input)?;
        let versions: Versions = serde_json::from_value(said)
            .map_err(|error| Error::message(format!("CNI plugin {}: VERSION: {error}", kind(plugin))))?;
        Ok(versions.supported_versions)
    }

    /// Attaches a pod: all plugins in order. The result is the last one's.
    ///
    /// # Errors
    /// With the plugin that failed. Those before it are to be undone by [`Chain::delete`].
    pub fn add(&self, attachment: &Attachment) -> Result<Value> {
        self.plugins.iter().try_fold(Value::Null, |previous, plugin| {
            self.execute(plugin, "ADD", attachment, &self.input(plugin, &previous))
        })
    }

    /// Detaches a pod: all plugins in reverse order. `result` is what [`Chain::add`] returned.
    ///
    /// # Errors
    /// With the plugin that failed; to be tried again.
    pub fn delete(&self, attachment: &Attachment, result: &Value) -> Result<()> {
        self.plugins.iter().rev().try_for_each(|plugin| {
            self.execute(plugin, "DEL", attachment, &self.input(plugin, result)).map(drop)
        })
    }

    /// Tells the plugins that only these attachments are left, from version 1.1.0 of the specification on.
    ///
    /// # Errors
    /// With the plugins that failed, after all were told.
    pub fn collect(&self, valid: &[Attachment]) -> Result<()> {
        if numbers(&self.version) < numbers("1.1.0") {
            return Ok(());
        }
        let valid: Vec<Value> =
            valid.iter().map(|one| json!({ "containerID": one.container, "ifname": INTERFACE })).collect();
        let mut failed = Vec::new();
        for plugin in &self.plugins {
            let mut input = self.input(plugin, &Value::Null);
            input["cni.dev/valid-attachments"] = Value::Array(valid.clone());
            failed.extend(self.execute(plugin, "GC", &Attachment::nobody(), &input).err());
        }
        match failed.into_iter().map(|error| error.to_string()).collect::<Vec<_>>().join("; ") {
            none if none.is_empty() => Ok(()),
            some => Err(Error::message(some)),
        }
    }

    fn input(&self, plugin: &Map<String, Value>, previous: &Value) -> Value {
        let mut input = plugin.clone();
        input.insert("cniVersion".to_owned(), json!(self.version));
        input.insert("name".to_owned(), json!(self.name));
        // What the runtime would need for them (port mappings and the like) it doesn't offer.
        input.remove("capabilities");
        if !previous.is_null() {
            input.insert("prevResult".to_owned(), previous.clone());
        }
        Value::Object(input)
    }

    fn execute(
        &self,
        plugin: &Map<String, Value>,
        verb: &str,
        attachment: &Attachment,
        input: &Value,
    ) -> Result<Value> {
        let kind = kind(plugin);
        let program = self.directories.iter().map(|dir| dir.join(kind)).find(|path| path.exists());
        let program = program.ok_or_else(|| {
            let places: Vec<String> = self.directories.iter().map(|dir| dir.display().to_string()).collect();
            Error::message(format!(
                "CNI plugin {kind:?} is not in {}; Debian's package containernetworking-plugins has the usual ones",
                places.join(", ")
            ))
        })?;
        let failed = |error| Error::io(format!("run CNI plugin {}", program.display()), error);
        let args: Vec<String> = attachment.args.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut child = Command::new(&program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", &attachment.container)
            .env("CNI_NETNS", &attachment.netns)
            .env("CNI_IFNAME", INTERFACE)
            .env("CNI_ARGS", args.join(";"))
            .env("CNI_PATH", std::env::join_paths(&self.directories).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        // A plugin that fails before it has read everything says why.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.to_string().as_bytes()));
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            let said = match serde_json::from_slice::<Refusal>(&output.stdout) {
                Ok(refusal) => refusal.to_string(),
                Err(_) => {
                    format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
                }
            };
            return Err(Error::message(format!("CNI plugin {kind}: {verb}: {said}")));
        }
        if output.stdout.trim_ascii().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout).map_err(|error| {
            Error::message(format!("CNI plugin {kind}: {verb}: its result is not JSON: {error}"))
        })
    }
}

impl Attachment {
    /// For verbs that concern no pod.
    fn nobody() -> Attachment {
        Attachment { container: String::new(), netns: String::new(), args: Vec::new() }
    }
}

fn kind(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or("(without a type)")
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

/// The pod's addresses in a result, those of other interfaces left out.
pub fn addresses(result: &Value) -> Vec<IpAddr> {
    let interfaces = result["interfaces"].as_array();
    let ips = result["ips"].as_array().into_iter().flatten();
    ips.filter(|ip| {
        let interface = ip["interface"].as_u64().and_then(|index| usize::try_from(index).ok());
        let interface = interface.and_then(|index| interfaces?.get(index));
        // Without a word about interfaces, all addresses are the pod's.
        interface.is_none_or(|one| one["name"] == INTERFACE && one["sandbox"].as_str() != Some(""))
    })
    .filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with plugins that are shell scripts; each notes what it was asked.
    struct Scripts(PathBuf);

    impl Scripts {
        fn new(test: &str) -> Scripts {
            let dir = std::env::temp_dir().join(format!("podgate-cni-{}-{test}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            Scripts(dir)
        }

        fn plugin(&self, name: &str, versions: &str, body: &str) {
            let log = self.0.join("log");
            let text = format!(
                "#!/bin/sh\n\
                 [ $CNI_COMMAND = VERSION ] && {{ echo '{{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[{versions}]}}'; exit 0; }}\n\
                 input=$(cat)\n\
                 echo \"{name} $CNI_COMMAND $CNI_CONTAINERID $CNI_ARGS $input\" >> {log}\n\
                 {body}\n",
                log = log.display()
            );
            let draft = self.0.join(format!("{name}.draft"));
            fs::write(&draft, text).unwrap();
            // Written by a process of its own: a file that is open for writing here is so in what other tests
            // start at this moment, too, and can't be executed then.
            let installed =
                Command::new("install").args(["-m", "755"]).args([&draft, &self.0.join(name)]).status();
            assert!(installed.unwrap().success());
        }

        fn chain(&self) -> Result<Chain> {
            let file = self.0.join("list.conflist");
            let list = r#"{"cniVersion":"1.0.0","cniVersions":["1.0.0","1.1.0"],"name":"net",
                "plugins":[{"type":"first"},{"type":"second","socket":"/s"}]}"#;
            fs::write(&file, list).unwrap();
            Chain::read(&file, std::slice::from_ref(&self.0))
        }

        fn log(&self) -> Vec<String> {
            let text = fs::read_to_string(self.0.join("log")).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        }
    }

    impl Drop for Scripts {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn attachment() -> Attachment {
        let args = vec![("K8S_POD_NAME", "web".to_owned()), ("IgnoreUnknown", "1".to_owned())];
        Attachment { container: "c1".to_owned(), netns: "/run/netns/x".to_owned(), args }
    }

    #[test]
    fn plugins_run_in_order_and_are_undone_in_reverse() {
        let scripts = Scripts::new("order");
        scripts.plugin("first", "\"1.0.0\",\"1.1.0\"", "echo '{\"ips\":[{\"address\":\"10.1.2.3/32\"}]}'");
        scripts.plugin("second", "\"1.0.0\",\"1.1.0\"", "echo '{\"ips\":[{\"address\":\"10.1.2.3/32\"}]}'");
        let chain = scripts.chain().unwrap();
        assert_eq!(chain.version(), "1.1.0");
        let result = chain.add(&attachment()).unwrap();
        assert_eq!(addresses(&result), ["10.1.2.3".parse::<IpAddr>().unwrap()]);
        chain.delete(&attachment(), &result).unwrap();
        chain.collect(&[attachment()]).unwrap();
        let log = scripts.log();
        let starts: Vec<&str> = log.iter().map(|line| line.split(" {").next().unwrap()).collect();
        assert_eq!(
            starts,
            [
                "first ADD c1 K8S_POD_NAME=web;IgnoreUnknown=1",
                "second ADD c1 K8S_POD_NAME=web;IgnoreUnknown=1",
                "second DEL c1 K8S_POD_NAME=web;IgnoreUnknown=1",
                "first DEL c1 K8S_POD_NAME=web;IgnoreUnknown=1",
                "first GC  ",
                "second GC  ",
            ]
        );
        assert!(!log[0].contains("prevResult"), "{}", log[0]);
        assert!(
            log[1].contains(r#""prevResult":{"ips""#) && log[1].contains(r#""socket":"/s""#),
            "{}",
            log[1]
        );
        assert!(log[4].contains(r#"[{"containerID":"c1","ifname":"eth0"}]"#), "{}", log[4]);
    }

    #[test]
    fn the_version_is_the_newest_that_all_plugins_know() {
        let scripts = Scripts::new("version");
        scripts.plugin("first", "\"0.4.0\",\"1.0.0\"", "echo '{}'");
        scripts.plugin("second", "\"1.0.0\",\"1.1.0\"", "echo '{}'");
        let chain = scripts.chain().unwrap();
        assert_eq!(chain.version(), "1.0.0");
        // That version has no GC.
        chain.collect(&[]).unwrap();
        assert!(scripts.log().is_empty());
        scripts.plugin("second", "\"0.4.0\"", "echo '{}'");
        assert!(scripts.chain().unwrap_err().to_string().contains("no version in common"));
    }

    #[test]
    fn a_refusal_names_the_plugin_and_what_it_said() {
        let scripts = Scripts::new("refusal");
        scripts.plugin("first", "\"1.0.0\"", "echo '{}'");
        scripts.plugin(
            "second",
            "\"1.0.0\"",
            "echo '{\"code\":11,\"msg\":\"not yet\",\"details\":\"the agent is away\"}'; exit 1",
        );
        let error = scripts.chain().unwrap().add(&attachment()).unwrap_err().to_string();
        assert_eq!(error, "CNI plugin second: ADD: not yet: the agent is away (code 11)");
    }

    #[test]
    fn a_missing_plugin_is_named_with_where_it_was_looked_for() {
        let scripts = Scripts::new("missing");
        let error = scripts.chain().unwrap_err().to_string();
        assert!(error.contains("\"first\"") && error.contains("containernetworking-plugins"), "{error}");
    }

    #[test]
    fn addresses_of_the_host_s_end_are_not_the_pod_s() {
        let result = json!({
            "interfaces": [{ "name": "veth1", "sandbox": "" }, { "name": "eth0", "sandbox": "/run/netns/x" }],
            "ips": [
                { "address": "10.0.0.1/24", "interface": 0 },
                { "address": "10.0.0.2/24", "interface": 1 },
                { "address": "fd00::2/64", "interface": 1 },
            ],
        });
        let expected: [IpAddr; 2] = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        assert_eq!(addresses(&result), expected);
    }
}
