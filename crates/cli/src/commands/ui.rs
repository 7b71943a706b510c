//! `podgate ui`: the page on this machine.

mod cluster;
mod flows;
mod lab;
mod objects;

use std::io::{ErrorKind, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use clap::Args;
use podgate_lab::Lab;
use podgate_serve::model::Origin;
use podgate_serve::{Access, Clients, Identity, Source, Tls};

use super::lab::PAGE;
use crate::input::ManifestArguments;
use crate::outcome::{FINE, Failure, Outcome};
use crate::style;

/// Serve a page that shows who may talk to whom, who does, and what a change would do.
///
/// It reads manifests or a live cluster, again whenever they change, and flows where some are named. Nothing is changed
/// anywhere. Ends with Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  podgate ui manifests/                        what policies allow
  podgate ui --cluster --server relay:4245     and what happens
  podgate ui --listen 0.0.0.0:7462 --token-file token --tls-cert tls.crt --tls-key tls.key
  podgate ui manifests/ --input-file flows.json")]
pub struct Arguments {
    /// Manifests: files, directories, or `-` for standard input.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    manifests: ManifestArguments,
    /// Show a lab that is up: its pods as they are, its flows, and what the last `podgate lab probe` found.
    #[arg(long, value_name = "NAME", help_heading = "Input", conflicts_with_all = ["paths", "files", "git", "cluster", "server", "flows", "input_file"])]
    lab: Option<String>,
    #[command(flatten)]
    flows: flows::FlowSource,
    /// Where the page is to be found: an address of this machine and a port, 0 for any that is free.
    #[arg(long, default_value = PAGE, value_name = "ADDRESS", help_heading = "Page")]
    listen: String,
    /// A file with the token that visitors have to know: `/?token=TOKEN`, or `Authorization: Bearer TOKEN`. Needed on
    /// addresses that others reach.
    #[arg(long, value_name = "FILE", help_heading = "Page")]
    token_file: Option<PathBuf>,
    /// The certificate to serve the page with over TLS, PEM; read again when it is renewed.
    #[arg(long, value_name = "FILE", requires = "tls_key", help_heading = "Page")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Page")]
    tls_key: Option<PathBuf>,
    /// The authority of visitors' certificates, PEM: others are sent away.
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Page")]
    tls_client_ca: Option<PathBuf>,
    /// Open it in a browser.
    #[arg(long, help_heading = "Page")]
    open: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let tls = arguments.tls_cert.as_deref().zip(arguments.tls_key.as_deref());
    let access = access(arguments.token_file.as_deref(), tls, arguments.tls_client_ca.as_deref())?;
    let lab = arguments.lab.as_deref().map(Lab::new).transpose()?;
    let page = Page::bind(&arguments.listen, access)?;
    let source = match &lab {
        Some(lab) => lab::source(lab)?,
        None => of_objects(arguments.manifests, arguments.paths, &arguments.flows)?,
    };
    let is_read_along = arguments.tls_cert.is_none() && page.is_for_others();
    page.serve(source, |url| {
        style::line(url);
        if let Some(file) = &arguments.token_file {
            style::note(&format!("open it once as {url}?token=TOKEN, with the token of {}", file.display()));
        }
        if is_read_along {
            style::warning(
                "the connection is not encrypted: whoever is in between reads the token and the page; --tls-cert and \
                 --tls-key encrypt it",
            );
        }
        if std::io::stderr().is_terminal() {
            style::note("Ctrl-C ends it");
        }
        if arguments.open {
            open(url);
        }
        Ok(())
    })
}

/// Who may visit a page: whoever knows the token of a file, and has a certificate of an authority, where these are
/// named. `tls` is the page's certificate and its key.
pub fn access(
    token_file: Option<&Path>,
    tls: Option<(&Path, &Path)>,
    client_ca: Option<&Path>,
) -> Result<Access, Failure> {
    let tls = tls.map(|(certificate, key)| {
        let clients = client_ca.map_or(Clients::Anybody, |path| Clients::MustShow(path.to_owned()));
        let identity = Identity { certificate: certificate.to_owned(), key: key.to_owned(), clients };
        Tls { identity, tell: style::warning }
    });
    Ok(Access { token: token_file.map(token).transpose()?, tls, ..Access::default() })
}

/// Serves the page about a lab where the lab was told to, or on another port where somebody else is there: the lab
/// says where.
pub fn of_lab(lab: &Lab) -> Outcome {
    let listen = lab::listen(lab)?.unwrap_or_else(|| PAGE.to_owned());
    let page = match TcpListener::bind(&listen) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let (ip, _) = listen.rsplit_once(':').unwrap_or((&listen, ""));
            Page::bind(&format!("{ip}:0"), Access::default())?
        }
        Ok(listener) => Page::new(listener, Access::default())?,
        Err(error) => return Err(cant_listen(&listen, &error)),
    };
    page.serve(lab::source(lab)?, |url| Ok(podgate_lab::up::page_is_ready(lab, url)?))
}

/// A server of the page that has a place and nothing to show yet.
struct Page {
    listener: TcpListener,
    access: Access,
    /// Told when it is to end.
    end: mpsc::Receiver<()>,
}

impl Page {
    fn bind(listen: &str, access: Access) -> Result<Page, Failure> {
        Page::new(TcpListener::bind(listen).map_err(|error| cant_listen(listen, &error))?, access)
    }

    fn new(listener: TcpListener, access: Access) -> Result<Page, Failure> {
        let address = listener.local_addr().map_err(|error| Failure::bad(error.to_string()))?;
        access.allows(address).map_err(Failure::bad)?;
        let (ended, end) = mpsc::channel();
        ctrlc::set_handler(move || ended.send(()).unwrap_or_default())
            .map_err(|error| Failure::bad(format!("watch for Ctrl-C: {error}")))?;
        Ok(Page { listener, access, end })
    }

    /// Whether other machines reach it.
    fn is_for_others(&self) -> bool {
        self.listener.local_addr().is_ok_and(|address| !address.ip().to_canonical().is_loopback())
    }

    /// Serves until Ctrl-C. `ready` is told where.
    fn serve(self, source: Source, ready: impl FnOnce(&str) -> Result<(), Failure>) -> Outcome {
        let failed = |error: std::io::Error| Failure::bad(format!("serve the page: {error}"));
        let scheme = if self.access.tls.is_some() { "https" } else { "http" };
        let serving = podgate_serve::start(self.listener, source, self.access).map_err(failed)?;
        ready(&format!("{scheme}://{}/", to_visit(serving.address)))?;
        // The handler lives as long as the process: it always can say that it is over.
        let _ = self.end.recv();
        serving.stop().map_err(failed)?;
        Ok(FINE)
    }
}

/// What to write into a browser on this machine: 0.0.0.0 is all of its addresses, and none to visit.
fn to_visit(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

fn cant_listen(listen: &str, error: &std::io::Error) -> Failure {
    Failure::bad(format!("listen on {listen}: {error}; name another address with --listen"))
}

/// Manifests or a cluster, with the flows that are named.
fn of_objects(
    manifests: ManifestArguments,
    paths: Vec<PathBuf>,
    flows: &flows::FlowSource,
) -> Result<Source, Failure> {
    let inventory = objects::read(&manifests, &paths)?;
    let is_cluster = manifests.reads_the_cluster(&manifests.paths(&paths));
    let (name, origin) = match is_cluster {
        true => (manifests.context.clone().unwrap_or_else(|| "the cluster".to_owned()), Origin::Cluster),
        false => (objects::title(&manifests.paths(&paths)), Origin::Files),
    };
    let (mut source, sender) = Source::new(name, origin, inventory);
    flows.feed(&mut source)?;
    objects::follow(manifests, paths, is_cluster, sender);
    Ok(source)
}

fn token(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::bad(format!("read the token: {}: {error}", path.display())))?;
    Ok(text.trim().to_owned())
}

/// Opens an address as the desktop does.
fn open(url: &str) {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let opened = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match opened {
        Ok(mut child) => drop(std::thread::spawn(move || child.wait())),
        Err(error) => style::warning(&format!("{opener}: {error}: open the page yourself")),
    }
}
