//! The agent under test, and what it costs.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

pub(crate) struct Agent {
    child: Child,
    directory: PathBuf,
}

impl Agent {
    pub(crate) fn start(podgate: &Path, server: SocketAddr) -> Result<Agent> {
        let directory = std::env::temp_dir().join(format!("podgate-agent-report-{}", std::process::id()));
        let bpffs = directory.join("bpf");
        fs::create_dir_all(&bpffs)?;
        mount("bpf", &bpffs, "bpf", MountFlags::empty(), None).context("mount a BPF file system")?;
        let kubeconfig = directory.join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: replay\nclusters: [{{name: c, cluster: {{server: \"http://{server}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: replay, context: {{cluster: c, user: u}}}}]\n"
        );
        fs::write(&kubeconfig, text)?;
        let child = Command::new(podgate)
            .args(["agent", "--node-name", "node-0", "--log", "warn", "--log-format", "text"])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg("--pin-dir")
            .arg(bpffs.join("podgate"))
            .arg("--run-dir")
            .arg(directory.join("run"))
            .arg("--state-dir")
            .arg(directory.join("state"))
            .spawn()
            .with_context(|| format!("run {}", podgate.display()))?;
        Ok(Agent { child, directory })
    }

    fn get(&self, path: &str) -> Result<(bool, String)> {
        let mut stream = UnixStream::connect(self.directory.join("run/agent.sock"))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: podgate\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
        Ok((head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200"), body.to_owned()))
    }

    pub(crate) fn metrics(&self) -> Result<String> {
        Ok(self.get("/metrics")?.1)
    }

    pub(crate) fn wait_ready(&self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            let said = match self.get("/v1/status") {
                Ok((true, body)) => {
                    let status: serde_json::Value = serde_json::from_str(&body)?;
                    if status["synced"] == true && status["enforcing"] == true {
                        return Ok(());
                    }
                    body
                }
                Ok((false, body)) => body,
                Err(error) => error.to_string(),
            };
            if Instant::now() > until {
                bail!("the agent is not ready: {said}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Resident memory now and at most, in MiB.
    pub(crate) fn memory(&self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    /// What the kernel says its maps take, in MiB.
    pub(crate) fn kernel_tables(&self) -> Result<f64> {
        let mut maps = std::collections::BTreeMap::new();
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", self.child.id()))? {
            let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
            let field = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name))?;
                line.trim().parse::<u64>().ok()
            };
            if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
                maps.insert(id, bytes);
            }
        }
        Ok(maps.values().sum::<u64>() as f64 / f64::from(1 << 20))
    }

    /// User and system time so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, rest) = stat.rsplit_once(')').context("an unreadable stat")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = unmount(self.directory.join("bpf"), UnmountFlags::DETACH);
        let _ = fs::remove_dir_all(&self.directory);
    }
}
