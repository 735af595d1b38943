//! Logs of a cluster's pods, as one stream of lines that say which pod they are of.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use meshproof::kubernetes::{Containers, Context, KubernetesError, LogLine};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// How many lines wait to be read.
const WAITING: usize = 4_096;

/// Which pods.
#[derive(Args, Clone, Debug)]
pub(super) struct Cluster {
    /// Read the logs of a cluster's pods in place of files, by the name of its context in the kubeconfig; needs to get
    /// pods/log and list pods, and to watch them for --follow
    #[arg(
        long,
        value_name = "CONTEXT",
        requires = "namespace",
        conflicts_with = "files"
    )]
    context: Option<String>,

    /// The namespace of the pods
    #[arg(short, long, value_name = "NAMESPACE", requires = "context")]
    namespace: Option<String>,

    /// The container of each pod that is read
    #[arg(long, value_name = "NAME", default_value = "istio-proxy")]
    container: String,

    /// The kubeconfig [default: what kubectl reads]
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,
}

/// Where the lines come from.
#[derive(Clone, Debug)]
pub(super) struct Pods {
    context: String,
    kubeconfig: Option<PathBuf>,
    containers: Containers,
}

impl Cluster {
    /// What was asked for, if a cluster was.
    pub(super) fn pods(&self) -> Option<Pods> {
        Some(Pods {
            context: self.context.clone()?,
            kubeconfig: self.kubeconfig.clone(),
            containers: Containers {
                namespace: self.namespace.clone()?,
                container: self.container.clone(),
                since: None,
            },
        })
    }
}

impl Pods {
    /// What findings call the source.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.context, self.containers.namespace)
    }

    /// Lines as they are read, and where to send them.
    pub(super) fn lines(&self) -> (Sender<LogLine>, Lines) {
        let (sender, receiver) = channel(WAITING);
        let lines = Lines {
            receiver,
            container: self.containers.clone(),
            text: Vec::new(),
            at: 0,
        };
        (sender, lines)
    }

    /// Sends what is there, and answers with what could not be read.
    pub(super) async fn send(
        &self,
        sender: Sender<LogLine>,
    ) -> Result<Vec<KubernetesError>, KubernetesError> {
        let context = self.open().await?;
        context.pod_logs(&self.containers, sender).await
    }

    /// Sends what is there, and what comes.
    pub(super) async fn send_on(&self, sender: Sender<LogLine>) -> Result<(), KubernetesError> {
        let context = self.open().await?;
        context.follow_pod_logs(&self.containers, sender).await
    }

    async fn open(&self) -> Result<Context, KubernetesError> {
        Context::open(&self.context, self.kubeconfig.as_deref()).await
    }
}

/// The lines, each behind namespace, pod and container, as stern has them. Ends when nobody sends any more.
pub(super) struct Lines {
    receiver: Receiver<LogLine>,
    container: Containers,
    text: Vec<u8>,
    at: usize,
}

impl Read for Lines {
    /// Blocks until there is a line; not for a runtime's worker.
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.text.len() {
            let Some(line) = self.receiver.blocking_recv() else {
                return Ok(0);
            };
            self.at = 0;
            let Containers {
                namespace, container, ..
            } = &self.container;
            self.text = format!("{namespace} {} {container} {}\n", line.pod, line.text).into_bytes();
        }
        let length = buffer.len().min(self.text.len() - self.at);
        buffer[..length].copy_from_slice(&self.text[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
