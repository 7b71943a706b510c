//! `podgate ui`: the page on this machine.

mod flows;
mod objects;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use clap::Args;
use podgate_serve::model::Origin;
use podgate_serve::{Access, Source};

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
  podgate ui manifests/ --input-file flows.json")]
pub struct Arguments {
    /// Manifests: files, directories, or `-` for standard input.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    manifests: ManifestArguments,
    #[command(flatten)]
    flows: flows::FlowSource,
    /// Where the page is to be found: an address of this machine and a port, 0 for any that is free.
    #[arg(long, default_value = "127.0.0.1:7462", value_name = "ADDRESS", help_heading = "Page")]
    listen: String,
    /// A file with the token that visitors have to know: `/?token=TOKEN`, or `Authorization: Bearer TOKEN`. Needed on
    /// addresses that others reach.
    #[arg(long, value_name = "FILE", help_heading = "Page")]
    token_file: Option<PathBuf>,
    /// Open it in a browser.
    #[arg(long, help_heading = "Page")]
    open: bool,
}

pub fn run(arguments: Arguments) -> Outcome {
    let (ended, end) = mpsc::channel();
    ctrlc::set_handler(move || ended.send(()).unwrap_or_default())
        .map_err(|error| Failure::bad(format!("watch for Ctrl-C: {error}")))?;
    let access =
        Access { token: arguments.token_file.as_deref().map(token).transpose()?, ..Access::default() };
    let listener = TcpListener::bind(&arguments.listen).map_err(|error| {
        Failure::bad(format!("listen on {}: {error}; name another address with --listen", arguments.listen))
    })?;
    let Arguments { paths, manifests, .. } = arguments;
    let inventory = objects::read(&manifests, &paths)?;
    let is_cluster = manifests.reads_the_cluster(&manifests.paths(&paths));
    let (name, origin) = match is_cluster {
        true => (manifests.context.clone().unwrap_or_else(|| "the cluster".to_owned()), Origin::Cluster),
        false => (objects::title(&manifests.paths(&paths)), Origin::Files),
    };
    let (mut source, sender) = Source::new(name, origin, inventory);
    arguments.flows.feed(&mut source)?;
    objects::follow(manifests, paths, is_cluster, sender);
    let serving = podgate_serve::start(listener, source, access)
        .map_err(|error| Failure::bad(format!("serve the page: {error}")))?;
    let url = format!("http://{}/", serving.address);
    style::line(&url);
    if let Some(file) = &arguments.token_file {
        style::note(&format!("open it once as {url}?token=TOKEN, with the token of {}", file.display()));
    }
    if arguments.open {
        open(&url);
    }
    // The handler lives as long as the process: it always can say that it is over.
    let _ = end.recv();
    serving.stop().map_err(|error| Failure::bad(format!("serve the page: {error}")))?;
    Ok(FINE)
}

fn token(path: &std::path::Path) -> Result<String, Failure> {
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
