//! A connection to an API server that outlives its credentials.

use std::sync::Arc;

use crate::connect::{self, Server};
use crate::{Error, Options};

/// A connection to an API server. Copies share it.
#[derive(Clone)]
pub struct Client {
    pub(crate) server: Arc<Server>,
}

impl Client {
    /// Finds the cluster: a kubeconfig, or the service account of a pod. No request is sent yet. Call it on the
    /// runtime that will use it.
    pub async fn connect(options: &Options) -> Result<Client, Error> {
        Ok(Client { server: Arc::new(connect::connect(options).await?) })
    }

    /// What users call the cluster: the kubeconfig's context, or `in-cluster`.
    pub fn context(&self) -> &str {
        &self.server.context
    }
}
