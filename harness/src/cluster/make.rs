//! Making a cluster, step by step: each is written down once done, so that a half-made cluster is known as one.

use super::folder::{Folder, State, Step, failed};
use super::runner::Runner;
use super::tools::{Docker, Istioctl, Kind};
use super::{Cluster, ClusterError, Clusters, KindConfig, Plan, certificates, mirror};
use crate::kubernetes::Context;

/// The programs of one plan, found and checked before anything is made.
struct Programs {
    kind: Kind,
    docker: Docker,
    istioctl: Vec<Istioctl>,
}

impl Clusters {
    /// Makes a cluster with these releases in it, or brings the one of this name to it: what is there stays, what was not
    /// made to the end is repaired where its API server answers, and otherwise replaced. What cannot be made is removed,
    /// unless it is to be kept, or was ready before.
    ///
    /// To interrupt it, drop it: its program is killed. Then call [`Clusters::clear_interrupted`].
    ///
    /// # Errors
    /// When a program is missing, of the wrong version, fails or stalls; when the name is taken; when the API server does not
    /// answer.
    pub async fn up(&self, name: &str, plan: &Plan, keep: bool) -> Result<Cluster, ClusterError> {
        let folder = Folder::at(&self.root, name)?;
        let was_there = folder.exists();
        folder.create()?;
        let _lock = folder.lock()?;
        let prepared = self.prepare(&folder, plan, was_there).await;
        let (programs, mut state, was_ready) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                if !was_there {
                    // Nothing but the log of questions is in it.
                    folder.remove()?;
                }
                return Err(error);
            }
        };
        let cause = match self.steps(&folder, plan, &programs, &mut state).await {
            Ok(()) => {
                return Ok(Cluster {
                    name: name.to_owned(),
                    kubeconfig: folder.kubeconfig(),
                    context: context_of(name),
                    kubernetes: state.node.kubernetes.clone(),
                    istio: state.istio(),
                });
            }
            Err(cause) => cause,
        };
        if keep || was_ready {
            return Err(cause);
        }
        match self.remove(&folder).await {
            Ok(()) => Err(cause),
            Err(removal) => Err(ClusterError::Left {
                name: name.to_owned(),
                cause: Box::new(cause),
                removal: Box::new(removal),
            }),
        }
    }

    /// The programs, the state to go on from, and whether the cluster was ready.
    async fn prepare(
        &self,
        folder: &Folder,
        plan: &Plan,
        was_there: bool,
    ) -> Result<(Programs, State, bool), ClusterError> {
        let runner = Runner::new(folder.log());
        let programs = self.programs(plan, &runner).await?;
        let known = programs.kind.clusters(self.limits.ask).await?;
        let exists = known.contains(&folder.name);
        if was_there {
            let state = folder.state()?;
            if state.node != plan.node {
                return Err(ClusterError::OtherKubernetes {
                    name: folder.name.clone(),
                    found: state.node.kubernetes,
                    asked: plan.node.kubernetes.clone(),
                });
            }
            if exists && state.done.contains(&Step::Cluster) && open(folder).await.is_ok() {
                let was_ready = state.is_ready;
                return Ok((programs, state, was_ready));
            }
            let limit = self.limits.delete;
            programs
                .kind
                .delete(&folder.name, &folder.kubeconfig(), limit)
                .await?;
        } else if exists {
            return Err(ClusterError::Foreign {
                name: folder.name.clone(),
            });
        }
        let state = State {
            node: plan.node.clone(),
            done: Vec::new(),
            is_ready: false,
        };
        folder.write(&state)?;
        Ok((programs, state, false))
    }

    async fn programs(&self, plan: &Plan, runner: &Runner) -> Result<Programs, ClusterError> {
        let ask = self.limits.ask;
        let kind = self.kind(runner)?;
        kind.check(&plan.node.kind, ask).await?;
        let docker = Docker::new(self.tools.program("docker")?, runner.clone());
        docker.check(ask).await?;
        let mut istioctl = Vec::new();
        for release in &plan.releases {
            istioctl.push(self.tools.istioctl(release, runner, ask).await?);
        }
        Ok(Programs {
            kind,
            docker,
            istioctl,
        })
    }

    async fn steps(
        &self,
        folder: &Folder,
        plan: &Plan,
        programs: &Programs,
        state: &mut State,
    ) -> Result<(), ClusterError> {
        if !state.done.contains(&Step::Cluster) {
            let config = KindConfig::of(&plan.node)
                .to_yaml()
                .map_err(ClusterError::Config)?;
            let path = folder.kind_config();
            std::fs::write(&path, config).map_err(|source| failed("write", &path, source))?;
            programs
                .kind
                .create(&folder.name, &path, &folder.kubeconfig(), self.limits.create)
                .await?;
            folder.protect_kubeconfig()?;
            done(folder, state, Step::Cluster)?;
        }
        if !state.done.contains(&Step::Mirror) {
            mirror::provide(&programs.docker, &folder.name, &self.limits).await?;
            done(folder, state, Step::Mirror)?;
        }
        if !state.done.contains(&Step::Certificates) {
            certificates::plug_in(&open(folder).await?).await?;
            done(folder, state, Step::Certificates)?;
        }
        for (release, istioctl) in plan.releases.iter().zip(&programs.istioctl) {
            let step = Step::Istio(release.version.clone());
            if !state.done.contains(&step) {
                let context = context_of(&folder.name);
                istioctl
                    .install(release, &folder.kubeconfig(), &context, self.limits.install)
                    .await?;
                done(folder, state, step)?;
            }
        }
        if let Some(image) = &plan.agent {
            // Each time: what is called so may have been built anew.
            programs
                .kind
                .load(&folder.name, image, self.limits.mirror)
                .await?;
        }
        state.is_ready = true;
        folder.write(state)
    }
}

fn done(folder: &Folder, state: &mut State, step: Step) -> Result<(), ClusterError> {
    state.done.push(step);
    folder.write(state)
}

async fn open(folder: &Folder) -> Result<Context, ClusterError> {
    Ok(Context::open(&context_of(&folder.name), Some(&folder.kubeconfig())).await?)
}

/// As kind names contexts.
fn context_of(name: &str) -> String {
    format!("kind-{name}")
}
