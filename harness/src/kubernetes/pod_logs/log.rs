//! The log of one container: read on where it was left, whatever ended it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use jiff::Timestamp;
use kube::Error;
use kube::api::LogParams;
use kube::core::Request;
use tokio::sync::mpsc::Sender;

use super::pause::Pause;
use super::{Containers, LogLine, is_final, of_namespace};
use crate::kubernetes::{Context, KubernetesError};

/// How long a followed log may be silent until it is asked for anew: a connection that a gateway has forgotten says nothing
/// either. As long as API servers let a watch last.
const SILENCE: Duration = Duration::from_secs(290);

/// The log of one container.
pub(super) struct PodLog<'a> {
    context: &'a Context,
    containers: &'a Containers,
    pod: &'a str,
    follows: bool,
    pub(super) silence: Duration,
    told: Told,
}

/// What was read so far.
#[derive(Default)]
struct Told {
    lines: u64,
    /// The latest second in which a line was logged. Servers are asked from a whole second on, and tell it again.
    second: Option<i64>,
    /// How many lines were logged at each time of that second.
    at: BTreeMap<Timestamp, usize>,
}

impl<'a> PodLog<'a> {
    pub(super) fn new(context: &'a Context, containers: &'a Containers, pod: &'a str) -> Self {
        Self {
            context,
            containers,
            pod,
            follows: false,
            silence: SILENCE,
            told: Told {
                second: containers.since.map(Timestamp::as_second),
                ..Told::default()
            },
        }
    }

    /// Reads what is there. A pod that is gone by now has no log, and a container that has not begun.
    ///
    /// # Errors
    /// When it cannot be read to its end: where the connection is lost, once it is lost without a line in between.
    pub(super) async fn read(&mut self, lines: &Sender<LogLine>) -> Result<(), KubernetesError> {
        let mut pause = Pause::default();
        loop {
            let before = self.told.lines;
            match self.read_on(lines).await {
                Err(KubernetesError::Refused { code: 400 | 404, .. }) => return Ok(()),
                Err(error) if self.told.lines == before || is_final(&error) => return Err(error),
                Err(_) => pause.take().await,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Reads on and on, until the pod is gone or nobody takes lines any more.
    ///
    /// # Errors
    /// When asking again cannot help.
    pub(super) async fn follow(&mut self, lines: &Sender<LogLine>) -> Result<(), KubernetesError> {
        self.follows = true;
        let mut pause = Pause::default();
        let mut is_lost = false;
        while !lines.is_closed() {
            let before = self.told.lines;
            let ended = tokio::select! {
                ended = self.read_on(lines) => ended,
                () = lines.closed() => return Ok(()),
            };
            if self.told.lines != before {
                pause = Pause::default();
                is_lost = false;
            }
            match ended {
                Err(KubernetesError::Refused { code: 404, .. }) => return Ok(()),
                // The container has not begun, or has ended and may begin again.
                Err(KubernetesError::Refused { code: 400, .. }) | Ok(()) => is_lost = false,
                Err(error) if is_final(&error) => return Err(error),
                Err(error) if !is_lost => {
                    is_lost = true;
                    tracing::warn!("{error}; asking again");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = pause.take() => {}
                () = lines.closed() => return Ok(()),
            }
        }
        Ok(())
    }

    /// Gives the lines that were not told yet to `lines`, until the server ends the log, or has nothing to say for long.
    async fn read_on(&mut self, lines: &Sender<LogLine>) -> Result<(), KubernetesError> {
        let stream = self.open().await?;
        tokio::pin!(stream);
        let mut again = self.told.at.clone();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = stream.read_until(b'\n', &mut line);
            let read = match tokio::time::timeout(self.silence, read).await {
                Err(_) if self.follows => return Ok(()),
                Err(_) => {
                    return Err(KubernetesError::Silent {
                        what: self.what(),
                        after: self.silence,
                    });
                }
                Ok(read) => read,
            };
            let read = read.map_err(|error| KubernetesError::Gone {
                what: self.what(),
                message: error.to_string(),
            })?;
            // A followed line without its end is told again once it has one.
            if read == 0 || (self.follows && !line.ends_with(b"\n")) {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            // What has no time is of the node, about the log: it is not told again.
            let text = match stamped(line) {
                Some((time, _)) if !self.told.is_new(time, &mut again) => continue,
                Some((_, text)) => text,
                None => line,
            };
            let line = LogLine {
                pod: self.pod.to_owned(),
                text: text.to_owned(),
            };
            if lines.send(line).await.is_err() {
                return Ok(());
            }
        }
    }

    async fn open(&self) -> Result<impl AsyncBufRead + use<>, KubernetesError> {
        let parameters = LogParams {
            container: Some(self.containers.container.clone()),
            follow: self.follows,
            // The client library rounds to seconds, up as well; what it would skip is lost.
            since_time: self
                .told
                .second
                .and_then(|second| Timestamp::from_second(second).ok()),
            timestamps: true,
            ..LogParams::default()
        };
        let begin = async {
            let request = Request::new(of_namespace(self.containers).path("v1"))
                .logs(self.pod, &parameters)
                .map_err(Error::BuildRequest)?;
            self.context.client().request_stream(request).await
        };
        self.context.bounded(&self.what(), begin).await
    }

    fn what(&self) -> String {
        let Containers {
            namespace, container, ..
        } = self.containers;
        format!("the log of {container} in {namespace}/{}", self.pod)
    }
}

impl Told {
    /// Whether the line of that time was not told yet. `again`: those that the server tells again, of which it is one less then.
    fn is_new(&mut self, time: Timestamp, again: &mut BTreeMap<Timestamp, usize>) -> bool {
        if let Some(more @ 1..) = again.get_mut(&time) {
            *more -= 1;
            return false;
        }
        self.lines += 1;
        let second = Some(time.as_second());
        if second > self.second {
            self.second = second;
            self.at.clear();
        }
        if second == self.second {
            *self.at.entry(time).or_default() += 1;
        }
        true
    }
}

/// The time before a line, and the line.
fn stamped(line: &str) -> Option<(Timestamp, &str)> {
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    Some((time.parse().ok()?, text))
}
