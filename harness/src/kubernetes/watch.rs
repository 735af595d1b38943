//! What happens to objects, as it happens.

use futures_util::{Stream, StreamExt as _};
use kube::Error;
use kube::api::WatchParams;
use kube::core::{Request, WatchEvent};
use serde_json::Value;

use super::{Context, KubernetesError, Selection};

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It was created, or changed; this is what it is now.
    Written(Value),
    /// It was deleted; this is what it was.
    Deleted(Value),
}

impl Context {
    /// Changes after the version of a list ([`Context::list`]), until the server ends the watch, which it does after some
    /// minutes: then watch again from the last version seen.
    ///
    /// # Errors
    /// At once when there may be no watch; within the stream [`KubernetesError::Expired`] where the version is too long
    /// ago: then list anew.
    pub async fn watch<'c>(
        &'c self,
        selection: &Selection<'_>,
        from: &str,
    ) -> Result<impl Stream<Item = Result<Change, KubernetesError>> + use<'c>, KubernetesError> {
        let what = selection.to_string();
        let mut parameters = WatchParams::default();
        if let Some(name) = selection.name {
            parameters = parameters.fields(&format!("metadata.name={name}"));
        }
        let version = selection.resource.versions.first().copied().unwrap_or("v1");
        let begin = async {
            let request = Request::new(selection.path(version))
                .watch(&parameters, from)
                .map_err(Error::BuildRequest)?;
            self.client().request_events::<Value>(request).await
        };
        let events = match tokio::time::timeout(self.answer(), begin).await {
            Err(_) => {
                return Err(KubernetesError::Silent {
                    what,
                    after: self.answer(),
                });
            }
            Ok(events) => events.map_err(|error| self.failed("watch", &what, &error))?,
        };
        Ok(events.filter_map(move |event| {
            let change = match event {
                Ok(WatchEvent::Added(it) | WatchEvent::Modified(it)) => Some(Ok(Change::Written(it))),
                Ok(WatchEvent::Deleted(it)) => Some(Ok(Change::Deleted(it))),
                Ok(WatchEvent::Bookmark(_)) => None,
                Ok(WatchEvent::Error(status)) => Some(Err(self.failed("watch", &what, &Error::Api(status)))),
                Err(error) => Some(Err(self.failed("watch", &what, &error))),
            };
            std::future::ready(change)
        }))
    }
}
