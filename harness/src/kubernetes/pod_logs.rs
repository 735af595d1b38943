//! What the containers of pods log: what is there, or line by line as it comes, over restarts and lost connections.

mod log;
mod pause;

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::task::{JoinError, JoinSet};

use self::log::PodLog;
use self::pause::Pause;
use super::{Change, Context, KubernetesError, Resource, Selection};

const PODS: Resource = Resource {
    group: "",
    versions: &["v1"],
    plural: "pods",
    kind: "Pod",
};

/// A line that a container logged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLine {
    /// The pod.
    pub pod: String,
    /// The line, without its newline.
    pub text: String,
}

/// Whose logs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Containers {
    /// The namespace of the pods.
    pub namespace: String,
    /// The container's name. Pods that have none of this name are left out.
    pub container: String,
    /// Lines from this second on; absent: all.
    pub since: Option<jiff::Timestamp>,
}

impl Context {
    /// Gives every line that is there to `lines`, pod after pod, and answers with what could not be read to its end: a node
    /// may be away. A pod that is gone by then, or a container that has not begun, has no lines.
    ///
    /// # Errors
    /// When pods cannot be listed, or the credentials do not suffice for the first of them.
    pub async fn pod_logs(
        &self,
        containers: &Containers,
        lines: Sender<LogLine>,
    ) -> Result<Vec<KubernetesError>, KubernetesError> {
        let mut pods = Vec::new();
        let selection = of_namespace(containers);
        self.list(&selection, |pod| {
            pods.extend(name_with(&pod, &containers.container))
        })
        .await?;
        let mut unread = Vec::new();
        for pod in pods {
            match PodLog::new(self, containers, &pod).read(&lines).await {
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => unread.push(error),
                Ok(()) => {}
            }
        }
        Ok(unread)
    }

    /// Gives every line to `lines` as it comes, of the pods that are there and of those that come, until nobody takes them
    /// any more. Lost connections are made anew, and go on where they ended: no line is lost, and none told twice.
    ///
    /// # Errors
    /// When the pods cannot be listed the first time, or the credentials do not suffice.
    pub async fn follow_pod_logs(
        &self,
        containers: &Containers,
        lines: Sender<LogLine>,
    ) -> Result<(), KubernetesError> {
        let selection = of_namespace(containers);
        let mut followed = Followed {
            context: self,
            containers,
            lines: &lines,
            pods: BTreeMap::new(),
            tasks: JoinSet::new(),
        };
        let mut is_known = false;
        let mut pause = Pause::default();
        while !lines.is_closed() {
            let listed = self.list(&selection, |pod| followed.seen(&pod)).await;
            let ended = match listed {
                Ok(version) => {
                    is_known = true;
                    pause = Pause::default();
                    followed.watch(&selection, &version).await
                }
                Err(error) => Err(error),
            };
            match ended {
                Err(error) if !is_known || is_final(&error) => return Err(error),
                // A watch that has come to its end, or was lost: what happened meanwhile is listed.
                _ => tokio::select! {
                    () = pause.take() => {}
                    () = lines.closed() => {}
                },
            }
        }
        Ok(())
    }
}

/// The pods whose logs are followed.
struct Followed<'a> {
    context: &'a Context,
    containers: &'a Containers,
    lines: &'a Sender<LogLine>,
    /// Each with whether it was seen again since: it may be another pod of the same name, as those of a StatefulSet are.
    pods: BTreeMap<String, bool>,
    tasks: JoinSet<(String, Result<(), KubernetesError>)>,
}

impl Followed<'_> {
    /// Follows a pod that is not yet.
    fn seen(&mut self, pod: &Value) {
        let Some(name) = name_with(pod, &self.containers.container) else {
            return;
        };
        match self.pods.get_mut(&name) {
            Some(again) => *again = true,
            None => self.follow(name),
        }
    }

    fn follow(&mut self, pod: String) {
        self.pods.insert(pod.clone(), false);
        let (context, containers) = (self.context.clone(), self.containers.clone());
        let lines = self.lines.clone();
        self.tasks.spawn(async move {
            let ended = PodLog::new(&context, &containers, &pod).follow(&lines).await;
            (pod, ended)
        });
    }

    /// Follows pods as they come, until the server ends the watch.
    async fn watch(&mut self, selection: &Selection<'_>, from: &str) -> Result<(), KubernetesError> {
        let changes = self.context.watch(selection, from).await?;
        tokio::pin!(changes);
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Ok(Change::Written(pod))) => self.seen(&pod),
                    Some(Ok(Change::Deleted(_))) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended)?,
                () = self.lines.closed() => return Ok(()),
            }
        }
    }

    /// A pod is gone, or its log may not be read.
    fn ended(
        &mut self,
        ended: Result<(String, Result<(), KubernetesError>), JoinError>,
    ) -> Result<(), KubernetesError> {
        // What was aborted was so with everything else.
        let Ok((pod, ended)) = ended else {
            return Ok(());
        };
        ended?;
        if self.pods.remove(&pod) == Some(true) {
            self.follow(pod);
        }
        Ok(())
    }
}

fn of_namespace(containers: &Containers) -> Selection<'_> {
    Selection {
        namespace: Some(&containers.namespace),
        ..Selection::all(&PODS)
    }
}

/// The pod's name, if it has a container of that name: among them, or (native sidecars) among those that initialise it.
fn name_with(pod: &Value, container: &str) -> Option<String> {
    let containers = ["/spec/containers", "/spec/initContainers"]
        .into_iter()
        .filter_map(|place| pod.pointer(place)?.as_array())
        .flatten();
    let mut names = containers.filter_map(|it| it["name"].as_str());
    let name = pod.pointer("/metadata/name")?.as_str()?;
    names.any(|it| it == container).then(|| name.to_owned())
}

/// Whether asking again cannot help.
const fn is_final(error: &KubernetesError) -> bool {
    matches!(
        error,
        KubernetesError::Credentials { .. }
            | KubernetesError::Unauthorized { .. }
            | KubernetesError::Forbidden { .. }
            | KubernetesError::NotServed { .. }
    )
}

#[cfg(test)]
mod tests;
