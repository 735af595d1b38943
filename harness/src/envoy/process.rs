//! An Envoy process, and where it runs.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use async_trait::async_trait;
use semver::Version;
use serde_json::Value;
use tokio::process::Command;

use super::binary::EnvoyBinary;
use crate::child::{Running, spawn};
use crate::network_namespace::NetworkNamespace;

/// How often logs reach their file. A call's evidence waits for it, so it is short; Envoy's default is 10 s.
const LOG_FLUSH_MILLIS: &str = "1";

/// Every line reaches its file as it is written. A call's evidence is there some 2.5 ms sooner than with the interval
/// alone: it goes through the proxy's main thread.
const FLUSH_AT_ONCE: [&str; 2] = ["--file-flush-min-size-kb", "0"];
/// The first release that has the argument; an older one refuses to start with it.
const FLUSHES_AT_ONCE_FROM: Version = Version::new(1, 37, 0);

/// What every proxy is started with, besides its configuration.
const ARGUMENTS: [&str; 15] = [
    "--concurrency",
    "1",
    "--disable-hot-restart",
    "--file-flush-interval-msec",
    LOG_FLUSH_MILLIS,
    // As pilot-agent starts it (`drainDuration`; pkg/envoy/proxy.go@1.30.3). What is under way on a filter chain that a
    // change removes has this long to end, and is cut then: with 1 s a busy machine lost requests.
    "--drain-time-s",
    "45",
    "--drain-strategy",
    "immediate",
    "--log-level",
    "warning",
    "--component-log-level",
    "connection:debug",
    "--log-format",
    "[%T.%e][%l][%n] %v",
];

/// Why an Envoy process could not be started or went away.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A file of the proxy could not be written.
    #[error("cannot write {path}: {source} (is the disk full?)")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The binary could not be executed.
    #[error("cannot start envoy {binary} for {node}: {source}")]
    Spawn {
        /// The binary.
        binary: PathBuf,
        /// The proxy.
        node: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Envoy exited by itself.
    #[error("envoy {binary} for {node} ended by itself ({status}); its last words:\n{last_words}")]
    Exited {
        /// The binary.
        binary: PathBuf,
        /// The proxy.
        node: String,
        /// Its exit status.
        status: String,
        /// The end of its log.
        last_words: String,
    },
}

/// A proxy to start.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    /// An empty file for what it says of itself. Its lines have to be there when the proxy has written them: evidence of a
    /// call is complete once its access log is.
    pub(crate) log: &'a Path,
}

/// Where a proxy runs.
#[async_trait]
pub(crate) trait Host: Debug + Send + Sync {
    /// Starts a proxy, which ends with the harness.
    async fn start(&self, program: Program<'_>) -> io::Result<Box<dyn Running>>;
}

#[async_trait]
impl Host for NetworkNamespace {
    async fn start(&self, program: Program<'_>) -> io::Result<Box<dyn Running>> {
        let log = std::fs::OpenOptions::new().append(true).open(program.log)?;
        let mut command = Command::new(program.binary);
        command
            .args(program.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // Out of the terminal's process group: Ctrl-C is for the harness, which ends its proxies in order.
            .process_group(0)
            .kill_on_drop(true);
        Ok(Box::new(spawn(self, command).await?))
    }
}

/// The files of one proxy inside the run directory.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) bootstrap: PathBuf,
    /// Envoy's own log, with the connection debug lines.
    pub(crate) log: PathBuf,
    pub(crate) access_log: PathBuf,
    pub(crate) admin: PathBuf,
    pub(crate) pid: PathBuf,
    /// The secrets of its TLS connections, where they are wanted.
    pub(crate) key_log: PathBuf,
}

impl Files {
    /// Files named after `label` in `folder`; sockets carry a short name, because their path must fit 104 bytes.
    pub(crate) fn new(folder: &Path, label: &str, number: usize) -> Self {
        Self {
            bootstrap: folder.join(format!("{label}.bootstrap.json")),
            log: folder.join(format!("{label}.envoy.log")),
            access_log: folder.join(format!("{label}.access.log")),
            admin: folder.join(format!("admin{number}")),
            pid: folder.join(format!("{label}.pid")),
            key_log: folder.join(format!("{label}.keys")),
        }
    }
}

/// A running Envoy. Dropping it kills it, and waits until it is gone.
#[derive(Debug)]
pub(crate) struct EnvoyProcess {
    binary: PathBuf,
    node: String,
    files: Files,
    process: Box<dyn Running>,
}

impl EnvoyProcess {
    /// Starts `binary` on `host` as the proxy `node` with the bootstrap `config`.
    pub(crate) async fn start(
        host: &dyn Host,
        binary: &EnvoyBinary,
        node: &str,
        files: Files,
        config: &Value,
    ) -> Result<Self, ProcessError> {
        write(&files.bootstrap, &config.to_string())?;
        write(&files.log, "")?;
        let mut arguments: Vec<OsString> = vec!["--config-path".into(), files.bootstrap.clone().into()];
        arguments.extend(ARGUMENTS.map(OsString::from));
        if binary.version >= FLUSHES_AT_ONCE_FROM {
            arguments.extend(FLUSH_AT_ONCE.map(OsString::from));
        }
        let binary = &binary.path;
        let program = Program {
            binary,
            arguments,
            log: &files.log,
        };
        let process = host.start(program).await.map_err(|source| ProcessError::Spawn {
            binary: binary.clone(),
            node: node.to_owned(),
            source,
        })?;
        if let Some(pid) = process.id() {
            write(&files.pid, &pid.to_string())?;
        }
        Ok(Self {
            binary: binary.clone(),
            node: node.to_owned(),
            files,
            process,
        })
    }

    /// The operating system's id of the process, unless it has ended.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    pub(crate) const fn files(&self) -> &Files {
        &self.files
    }

    /// Fails if the process has ended by itself.
    pub(crate) fn check_alive(&mut self) -> Result<(), ProcessError> {
        match self.process.ended() {
            None => Ok(()),
            Some(status) => Err(self.exited(&status)),
        }
    }

    /// Ends the process without waiting for it. Its evidence has been read by now, so it need not drain.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends the process and waits for it.
    pub(crate) async fn stop(mut self) {
        self.process.stop().await;
        let _ = std::fs::remove_file(&self.files.pid);
    }

    fn exited(&self, status: &str) -> ProcessError {
        let log = std::fs::read_to_string(&self.files.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        ProcessError::Exited {
            binary: self.binary.clone(),
            node: self.node.clone(),
            status: status.to_owned(),
            last_words: lines[lines.len().saturating_sub(5)..].join("\n"),
        }
    }
}

fn write(path: &Path, text: &str) -> Result<(), ProcessError> {
    std::fs::write(path, text).map_err(|source| ProcessError::Write {
        path: path.to_owned(),
        source,
    })
}
