//! The page beside an agent: a process of its own without any capability, since the agent has all of them and
//! deadlines besides.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process, nice, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::commands::ui;
use crate::outcome::Failure;

/// How long a page that ended stays away, at first and at last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often the process, and the socket that it waits for, are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long it may take to end.
const END: Duration = Duration::from_secs(5);
/// How much later than the agent it gets its turn.
const NICE: i32 = 10;
/// What it needs of the environment. Secrets of exports are none of it.
const ENVIRONMENT: [&str; 10] = [
    "HOME",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
];

/// Flags of the page.
#[derive(Debug, Args)]
pub struct PageArguments {
    /// Where the page of `podgate ui` is served, about the cluster and with this node's flows: by a process of its own
    /// that has no capability. It shows what --kubeconfig or the service account may list.
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Page")]
    page_address: Option<SocketAddr>,
    /// A file with the token that the page's visitors have to know; needed on addresses that others reach.
    #[arg(long, value_name = "FILE", requires = "page_address", help_heading = "Page")]
    page_token_file: Option<PathBuf>,
    /// The certificate to serve the page with over TLS, PEM; read again when it is renewed.
    #[arg(long, value_name = "FILE", requires_all = ["page_address", "page_tls_key"], help_heading = "Page")]
    page_tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "page_tls_cert", help_heading = "Page")]
    page_tls_key: Option<PathBuf>,
    /// The authority of visitors' certificates, PEM: others are sent away.
    #[arg(long, value_name = "FILE", requires = "page_tls_cert", help_heading = "Page")]
    page_tls_client_ca: Option<PathBuf>,
}

impl PageArguments {
    /// Starts the page once the agent serves flows at `socket`; `None` where no page is asked for.
    ///
    /// # Errors
    /// When others could visit it without being asked for anything.
    pub fn start(&self, kube: &podgate_kube::Options, socket: &Path) -> Result<Option<Page>, Failure> {
        let Some(address) = self.page_address else { return Ok(None) };
        let token = self.page_token_file.as_deref();
        let tls = self.page_tls_cert.as_deref().zip(self.page_tls_key.as_deref());
        let access = ui::access(token, tls, self.page_tls_client_ca.as_deref())?;
        access.allows(address).map_err(|why| Failure::bad(format!("--page-address: {}", as_flags(&why))))?;
        let supervisor = Supervisor { arguments: self.arguments(kube, socket), socket: socket.to_owned() };
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("page".to_owned());
        let thread = thread.spawn(move || supervisor.run(&stopped));
        let thread = thread.map_err(|error| Failure::bad(format!("start a thread: {error}")))?;
        Ok(Some(Page { stop, thread }))
    }

    /// What `podgate` is started with.
    fn arguments(&self, kube: &podgate_kube::Options, socket: &Path) -> Vec<OsString> {
        let mut all: Vec<OsString> = vec!["ui".into(), "--cluster".into()];
        let mut add = |flag: &str, value: Option<OsString>| {
            if let Some(value) = value {
                all.extend([flag.into(), value]);
            }
        };
        let path = |path: &Option<PathBuf>| path.clone().map(OsString::from);
        let mut server = OsString::from("unix://");
        server.push(socket);
        add("--server", Some(server));
        add("--listen", self.page_address.map(|address| address.to_string().into()));
        add("--kubeconfig", path(&kube.kubeconfig));
        add("--context", kube.context.clone().map(OsString::from));
        add("--token-file", path(&self.page_token_file));
        add("--tls-cert", path(&self.page_tls_cert));
        add("--tls-key", path(&self.page_tls_key));
        add("--tls-client-ca", path(&self.page_tls_client_ca));
        all
    }
}

/// The same with the names that flags have here.
fn as_flags(why: &str) -> String {
    why.replace("--t", "--page-t")
}

/// A page that is served, until it is dropped.
#[derive(Debug)]
pub struct Page {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Page {
    /// Ends it.
    pub fn stop(self) {
        drop(self.stop);
        // A panic was reported where it happened.
        drop(self.thread.join());
    }
}

/// Keeps the page's process running.
struct Supervisor {
    arguments: Vec<OsString>,
    /// Where the agent serves flows.
    socket: PathBuf,
}

impl Supervisor {
    /// Starts the process again whenever it ends, until `stop` has no sender any more.
    fn run(&self, stop: &Receiver<()>) {
        let is_over = |wait: Duration| stop.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
        let mut pause = PAUSES.0;
        loop {
            while !self.socket.exists() {
                if is_over(LOOK) {
                    return;
                }
            }
            let begin = Instant::now();
            let why = match self.spawn() {
                Ok(mut child) => match watch(&mut child, is_over) {
                    Some(status) => format!("it ended with {status}"),
                    None => return,
                },
                Err(error) => format!("it can't be started: {error}"),
            };
            if begin.elapsed() > PAUSES.1 {
                pause = PAUSES.0;
            }
            tracing::warn!("page: {why}; it is started again in {} s", pause.as_secs());
            if is_over(pause) {
                return;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let agent = rustix::process::getpid();
        // The same binary, also after another one took its name.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("podgate")
            .args(&self.arguments)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| is_needed(name)))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // SAFETY: between fork and exec it makes system calls alone, and allocates nothing.
        unsafe { command.pre_exec(move || give_up(agent)) };
        let mut child = command.spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        tell(out, |line| tracing::info!("page: served at {line}"));
        tell(err, |line| match line.contains("warning: ") {
            true => tracing::warn!("page: {line}"),
            false => tracing::info!("page: {line}"),
        });
        Ok(child)
    }
}

fn is_needed(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("KUBE") || ENVIRONMENT.contains(&name))
}

/// Gives up all that makes the agent mighty. The process ends with the agent's thread that started it.
fn give_up(agent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(agent) {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe));
    }
    nice(NICE)?;
    for bit in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            // It is the last that the kernel knows, or the agent may not: what follows is enough.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // Without this, root gets its capabilities back by executing something.
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

/// Hands lines over as they come, until there are no more.
fn tell(from: Option<impl Read + Send + 'static>, say: impl Fn(&str) + Send + 'static) {
    let Some(from) = from else { return };
    std::thread::spawn(move || {
        BufReader::new(from).lines().map_while(Result::ok).for_each(|line| say(&line));
    });
}

/// Waits for a process to end; or ends it when it is over, which is `None`.
fn watch(child: &mut Child, is_over: impl Fn(Duration) -> bool) -> Option<ExitStatus> {
    let mut until: Option<Instant> = None;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return until.is_none().then_some(status),
            Ok(None) => {}
            // Somebody else waited for it: it is gone.
            Err(_) => return until.is_none().then(ExitStatus::default),
        }
        match until {
            Some(until) if Instant::now() > until => drop(child.kill()),
            Some(_) => std::thread::sleep(Duration::from_millis(20)),
            None if is_over(LOOK) => {
                // What is gone already needs no signal.
                let _ = kill_process(Pid::from_child(child), Signal::TERM);
                until = Some(Instant::now() + END);
            }
            None => {}
        }
    }
}
