//! Finds the cluster, and what to say to it.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::Options;
use crate::error::{Error, innermost};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);

/// An API server to ask.
pub(crate) struct Server {
    /// What users call it.
    pub context: String,
    /// Where it is.
    pub url: String,
    pub client: Client,
    /// Found through a pod's service account rather than a kubeconfig.
    pub is_in_cluster: bool,
}

/// `retries`: requests that a busy server turns away are sent again, a few times, before anybody hears of it.
pub(crate) async fn connect(options: &Options, retries: bool) -> Result<Server, Error> {
    let found = kubeconfig(options)?;
    let is_in_cluster = found.is_none();
    let (context, mut config) = match found {
        Some(kubeconfig) => from_kubeconfig(kubeconfig, options).await?,
        None => {
            let config = Config::incluster().map_err(|error| Error::NoCluster(innermost(&error)))?;
            ("in-cluster".to_owned(), config)
        }
    };
    config.connect_timeout = Some(PATIENCE);
    config.default_retry = retries;
    let url = config.cluster_url.to_string();
    let client = Client::try_from(config)
        .map_err(|error| Error::Kubeconfig { context: context.clone(), why: innermost(&error) })?;
    Ok(Server { context, url: url.trim_end_matches('/').to_owned(), client, is_in_cluster })
}

/// The kubeconfig, as kubectl finds it; `None` in a pod without one.
fn kubeconfig(options: &Options) -> Result<Option<Kubeconfig>, Error> {
    if let Some(path) = &options.kubeconfig {
        let read = Kubeconfig::read_from(path);
        return read.map(Some).map_err(|error| Error::NoCluster(innermost(&error)));
    }
    let named = std::env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty());
    let usual = std::env::home_dir().unwrap_or_else(|| PathBuf::from("/")).join(".kube/config");
    if !named && !usual.exists() {
        if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            return Ok(None);
        }
        return Err(Error::NoCluster(format!("there is no {}", usual.display())));
    }
    Kubeconfig::read().map(Some).map_err(|error| Error::NoCluster(innermost(&error)))
}

async fn from_kubeconfig(kubeconfig: Kubeconfig, options: &Options) -> Result<(String, Config), Error> {
    let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let chosen = options.context.clone().or_else(|| kubeconfig.current_context.clone());
    let context = match chosen.filter(|name| !name.is_empty()) {
        None => return Err(Error::Context { named: None, known }),
        Some(name) if !known.contains(&name) => return Err(Error::Context { named: Some(name), known }),
        Some(name) => name,
    };
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    match config {
        Ok(config) => Ok((context, config)),
        Err(error) => Err(Error::Kubeconfig { context, why: innermost(&error) }),
    }
}
