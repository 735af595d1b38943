//! One sidecar: its process, what it says, and where it listens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::call::{Connections, PodName};
use crate::envoy::AdminError;
use crate::envoy::admin::Admin;
use crate::envoy::binary::EnvoyBinary;
use crate::envoy::config::bootstrap::bootstrap;
use crate::envoy::config::{
    Instruments, IstioLogs, ROOT_SECRET, Resources, SYSTEM_ROOTS_SECRET, WORKLOAD_SECRET, certificate_secret,
    validation_secret,
};
use crate::envoy::logs::Tail;
use crate::envoy::process::{EnvoyProcess, Files, Host};
use crate::envoy::xds::ControlPlane;
use crate::fault::TlsLimits;
use crate::mesh::MeshError;
use crate::pki::{Issued, Supply};
use crate::wire::KeyLogFile;

/// How long a configuration may take to come into force. Measured: 10 to 70 ms; the limit is for a stalled machine.
const IN_FORCE_DEADLINE: Duration = Duration::from_secs(20);
/// How often a condition that Envoy does not announce is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How often a proxy that says nothing is checked for being alive.
const ALIVE_CHECK: Duration = Duration::from_millis(20);

/// A sidecar that runs.
#[derive(Debug)]
pub(in crate::mesh) struct Sidecar {
    /// Counts the sidecars this mesh ever started.
    pub(in crate::mesh) number: usize,
    pub(in crate::mesh) node: String,
    pub(in crate::mesh) binary: EnvoyBinary,
    pub(in crate::mesh) admin: Admin,
    pub(super) access_log: Tail,
    pub(super) debug_log: Tail,
    process: EnvoyProcess,
    /// Where it tells the secrets of its connections, if it does.
    key_log: Option<KeyLogFile>,
    /// What it was told and has not been seen to follow yet.
    told: Told,
    /// The secrets it deliberately does not get.
    withheld: Vec<String>,
}

/// What is new to a sidecar.
#[derive(Debug, Default)]
struct Told {
    /// Something whose acknowledgement is not its effect: it may have to warm.
    warms: bool,
    /// A secret, which it may use later than it acknowledges it.
    secrets: bool,
    anything: bool,
}

impl Sidecar {
    /// Starts the proxy of `pod` on a host, with a mark on what it sends. `number` makes its node id unique among those this mesh ever started.
    pub(super) async fn start(
        pod: &PodName,
        number: usize,
        binary: EnvoyBinary,
        folder: &Path,
        control_plane: &Path,
        (host, mark): (&dyn Host, Option<u32>),
        tells_secrets: bool,
    ) -> Result<Self, MeshError> {
        let label = format!(
            "{}.{}-{}.{number}",
            pod.workload.namespace, pod.workload.name, pod.ordinal
        );
        let files = Files::new(folder, &label, number);
        let key_log = match tells_secrets {
            true => Some(KeyLogFile::create(files.key_log.clone())?),
            false => None,
        };
        let node = format!("sidecar~{pod}~{number}");
        let config = bootstrap(&node, control_plane, &files.admin, mark);
        let process = EnvoyProcess::start(host, &binary, &node, files, &config).await?;
        let files = process.files();
        Ok(Self {
            number,
            node,
            binary,
            admin: Admin::new(&files.admin),
            access_log: Tail::new(&files.access_log),
            debug_log: Tail::new(&files.log),
            process,
            key_log,
            told: Told::default(),
            withheld: Vec::new(),
        })
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Where it tells the secrets of its connections, if it does.
    pub(super) fn key_log(&self) -> Option<PathBuf> {
        self.key_log.as_ref().map(|file| file.path().to_owned())
    }

    pub(super) fn admin_socket(&self) -> &Path {
        &self.process.files().admin
    }

    pub(super) fn access_log(&self) -> &Path {
        &self.process.files().access_log
    }

    pub(super) fn instruments(
        &self,
        connections: Connections,
        istio_logs: Option<Arc<IstioLogs>>,
    ) -> Instruments {
        Instruments {
            access_log: self.process.files().access_log.clone(),
            limits: TlsLimits::default(),
            connections,
            istio_logs,
            key_log: self.key_log(),
        }
    }

    /// Tells the sidecar what it should know.
    pub(super) fn push(&mut self, control: &ControlPlane, resources: Resources) {
        let pushed = control.push(&self.node, resources);
        self.told.anything |= pushed.anything();
        self.told.warms |= pushed.clusters || pushed.listeners;
    }

    /// Hands the sidecar its certificate, its roots, and those of the operating system: a rule with TLS mode SIMPLE asks
    /// for them, and its cluster warms until they come.
    ///
    /// What `supply` lacks it does not get, and does not hold: a pod that held it is made anew.
    pub(super) fn push_secrets(
        &mut self,
        control: &ControlPlane,
        issued: &Issued,
        system_roots: &str,
        supply: Supply,
    ) {
        let certificate = certificate_secret(
            WORKLOAD_SECRET,
            &issued.certificate_chain,
            issued.private_key.pem(),
        );
        let roots = validation_secret(ROOT_SECRET, &issued.trust_bundle, &issued.revocation_lists);
        let system = validation_secret(SYSTEM_ROOTS_SECRET, system_roots, "");
        self.withheld.clear();
        for (secret, is_supplied) in [
            (certificate, supply.certificate),
            (roots, supply.roots),
            (system, true),
        ] {
            if !is_supplied {
                self.withheld.push(secret.name);
                continue;
            }
            let is_new = control.push_secret(&self.node, secret);
            self.told.anything |= is_new;
            self.told.warms |= is_new;
            self.told.secrets |= is_new;
        }
    }

    /// Waits until all that the sidecar was told is acknowledged and in force. One that was told nothing new since
    /// it was last seen in force still is.
    pub(super) async fn in_force(&mut self, control: &ControlPlane) -> Result<(), MeshError> {
        if !self.told.anything {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + IN_FORCE_DEADLINE;
        // What it was told stays new to one that waits: it takes it in once it has its secrets.
        if !self.withheld.is_empty() && self.waits_for_secrets(control, deadline).await? {
            return Ok(());
        }
        self.acknowledged(control, deadline).await?;
        // Endpoints and routes of clusters and listeners that stay are in force before Envoy acknowledges them: its
        // main thread posts them to the worker first, and the worker takes posts before connections.
        if !self.told.warms {
            self.told = Told::default();
            return Ok(());
        }
        loop {
            let warming = self.admin.warming().await?;
            // One that was told no secret waits for none that is not among what warms.
            let stale = match self.told.secrets && warming.is_done() {
                true => self.stale_secrets(control).await?,
                false => Vec::new(),
            };
            if warming.is_done() && stale.is_empty() {
                self.told = Told::default();
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let waiting_for = format!(
                    "{} clusters and {} listeners to warm, secrets {stale:?}",
                    warming.clusters, warming.listeners
                );
                return Err(self.not_in_force(waiting_for));
            }
            self.process.check_alive()?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The secrets it was last seen to wait for, which it does not get.
    pub(in crate::mesh) fn waits_for(&self) -> &[String] {
        match self.told.anything {
            true => &self.withheld,
            false => &[],
        }
    }

    /// Waits until it is clear whether the sidecar waits for the secrets that are withheld; says whether it does.
    ///
    /// Where a cluster names one, Envoy does not even ask for listeners until it comes; where only a listener does,
    /// Envoy starts no worker. None of its ports is open in either case. Where nothing names one, nothing waits.
    async fn waits_for_secrets(
        &mut self,
        control: &ControlPlane,
        deadline: tokio::time::Instant,
    ) -> Result<bool, MeshError> {
        loop {
            let pending = control.pending(&self.node);
            // The admin socket is there before anything is asked of the control plane. Looked at after what is pending:
            // whatever was acknowledged by then has asked for its secrets by now.
            if !pending.iter().any(|kind| kind == "Cluster") {
                let warming = self.admin.warming_secrets().await?;
                if self.withheld.iter().any(|name| warming.contains(name)) {
                    return Ok(true);
                }
                if pending.is_empty() {
                    return Ok(false);
                }
            }
            if tokio::time::Instant::now() > deadline {
                return Err(self.not_in_force(format!(
                    "it to ask for the secrets {:?}, or to acknowledge {}",
                    self.withheld,
                    pending.join(", ")
                )));
            }
            self.process.check_alive()?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Secrets it uses in an older version than it was told: an acknowledged secret is not yet one in use.
    async fn stale_secrets(&self, control: &ControlPlane) -> Result<Vec<String>, AdminError> {
        let secrets = self.admin.secrets().await?;
        let outdated = secrets.active.into_iter().filter(|(name, version)| {
            control
                .secret_version(&self.node, name)
                .is_some_and(|told| told.to_string() != *version)
        });
        Ok(outdated.map(|(name, _)| name).chain(secrets.warming).collect())
    }

    async fn acknowledged(
        &mut self,
        control: &ControlPlane,
        deadline: tokio::time::Instant,
    ) -> Result<(), MeshError> {
        let node = self.node.clone();
        let acknowledged = control.acknowledged(&node);
        tokio::pin!(acknowledged);
        loop {
            tokio::select! {
                result = &mut acknowledged => return Ok(result?),
                () = tokio::time::sleep(ALIVE_CHECK) => self.process.check_alive()?,
                () = tokio::time::sleep_until(deadline) => {
                    return Err(self.not_in_force(format!("acknowledgement of {}", control.pending(&node).join(", "))));
                }
            }
        }
    }

    /// Ends the proxy without waiting for it; [`stop`](Self::stop) does.
    pub(super) fn kill(&mut self, control: &ControlPlane) {
        control.forget(&self.node);
        self.process.kill();
    }

    pub(super) async fn stop(self) {
        self.process.stop().await;
    }

    fn not_in_force(&self, waiting_for: String) -> MeshError {
        MeshError::NotInForce {
            node: self.node.clone(),
            within: IN_FORCE_DEADLINE,
            waiting_for,
        }
    }
}
