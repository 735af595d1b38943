//! Lists, page by page.

use kube::Error;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, KubernetesError, Selection};

/// Objects of a page, as kubectl asks for (its --chunk-size).
const PAGE: u32 = 500;

/// What is read of a page.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    items: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue")]
    next: Option<String>,
    #[serde(rename = "resourceVersion", default)]
    version: String,
}

impl Context {
    /// Gives each object to `take` as its page arrives; no more than a page is held. Answers with the version of the list,
    /// from which a watch can go on. Where the server forgets a list's beginning midway, the rest is as of then.
    ///
    /// # Errors
    /// When the objects cannot be listed. Some may have been taken.
    pub async fn list(
        &self,
        selection: &Selection<'_>,
        mut take: impl FnMut(Value),
    ) -> Result<String, KubernetesError> {
        for version in selection.resource.versions {
            match self.list_version(selection, version, &mut take).await {
                Err(KubernetesError::Refused { code: 404, .. }) => {}
                listed => return listed,
            }
        }
        Err(KubernetesError::NotServed {
            resource: selection.resource.to_string(),
            versions: selection.resource.versions.join(", "),
        })
    }

    async fn list_version(
        &self,
        selection: &Selection<'_>,
        version: &str,
        take: &mut impl FnMut(Value),
    ) -> Result<String, KubernetesError> {
        let mut parameters = ListParams::default().limit(PAGE);
        if let Some(name) = selection.name {
            parameters = parameters.fields(&format!("metadata.name={name}"));
        }
        let what = selection.to_string();
        let mut resumed = false;
        loop {
            let answer = self.page(selection, version, &parameters);
            let page = match tokio::time::timeout(self.answer(), answer).await {
                Err(_) => {
                    return Err(KubernetesError::Silent {
                        what,
                        after: self.answer(),
                    });
                }
                Ok(Ok(page)) => page,
                // The server says how to go on with the rest; once, lest it says so for ever.
                Ok(Err(Error::Api(status))) if status.code == 410 && !resumed => {
                    let rest = status.metadata.as_ref().and_then(|it| it.continue_.clone());
                    let Some(rest) = rest.filter(|it| !it.is_empty()) else {
                        return Err(KubernetesError::Expired { what });
                    };
                    parameters.continue_token = Some(rest);
                    resumed = true;
                    continue;
                }
                Ok(Err(error)) => return Err(self.failed("list", &what, &error)),
            };
            resumed = false;
            for mut item in page.items.into_iter().flatten() {
                // Items of a list do not say what they are.
                item["apiVersion"] = selection.resource.api_version(version).into();
                item["kind"] = selection.resource.kind.into();
                take(item);
            }
            match page.metadata.next.filter(|it| !it.is_empty()) {
                None => return Ok(page.metadata.version),
                next => parameters.continue_token = next,
            }
        }
    }

    async fn page(
        &self,
        selection: &Selection<'_>,
        version: &str,
        parameters: &ListParams,
    ) -> Result<Page, Error> {
        let request = Request::new(selection.path(version))
            .list(parameters)
            .map_err(Error::BuildRequest)?;
        self.client().request(request).await
    }
}
