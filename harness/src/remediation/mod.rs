//! A remedy, done to a cluster: looked at as the server would have it, made, watched, and undone where it does not help.
//!
//! Nothing is written before [`Plan::make`]. What was there is kept whole, so that [`Made::undo`] writes it as it was; both
//! refuse to touch an object that somebody else has changed meanwhile.

mod edit;
mod harm;
mod recovery;

use std::fmt;

use serde_json::Value;

use crate::diagnose::{DiagnoseError, Edit, Remedy};
use crate::kubernetes::{Context, Effect, KubernetesError, Resource, anew};
use crate::snapshot::ObjectRef;

pub use harm::Harm;
pub use recovery::{Recovery, Watched};

/// A change of one object, ready to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    object: ObjectRef,
    resource: &'static Resource,
    edit: Edit,
    because: String,
    before: Value,
    /// As the server says that it would be; absent where it is deleted.
    after: Option<Value>,
}

/// A change that was made, or may have been.
#[derive(Debug)]
#[must_use = "what does not help is undone"]
pub struct Made {
    plan: Plan,
}

/// How a change was undone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Undone {
    /// The object is as it was.
    Restored,
    /// It had not been changed.
    Unchanged,
}

/// Why a remedy is not done, or not undone.
#[derive(Debug, thiserror::Error)]
pub enum RemediationError {
    /// It is none that a machine may do.
    #[error(
        "the remedy is not marked safe: follow its commands yourself (manifests/remedies.yaml says which are, and why)"
    )]
    NotSafe,
    /// The object is not what the remedy is about.
    #[error("{object} {why}; follow the remedy's commands yourself")]
    NotMechanical {
        /// The object.
        object: ObjectRef,
        /// What it is instead.
        why: &'static str,
    },
    /// It was there when it was diagnosed.
    #[error("{0} is gone by now; diagnose again")]
    Gone(ObjectRef),
    /// Another change came in between.
    #[error("{0} was changed by somebody else meanwhile, and is left as it is; diagnose again")]
    Changed(ObjectRef),
    /// It would take from others what it gives to this call.
    #[error("not done, for other calls would fail: {0}")]
    Harmful(Harm),
    /// Whether it helped cannot be told.
    #[error(transparent)]
    Diagnose(#[from] DiagnoseError),
    /// The cluster said no.
    #[error("{source}{}", hint(source))]
    Kubernetes {
        /// What it said.
        #[from]
        source: KubernetesError,
    },
}

fn hint(error: &KubernetesError) -> &'static str {
    match error {
        KubernetesError::Forbidden { .. } => "; manifests/rbac/remedy.yaml grants it",
        _ => "",
    }
}

impl Plan {
    /// Looks at the object that a remedy changes, and has the server say what would become of it. Nothing is written.
    ///
    /// # Errors
    /// When the remedy is not marked safe, the object says more than the remedy is about, or the server would refuse.
    pub async fn of(context: &Context, remedy: &Remedy) -> Result<Self, RemediationError> {
        let (Some(safe), Some(object)) = (&remedy.edit, &remedy.object) else {
            return Err(RemediationError::NotSafe);
        };
        let resource = edit::resource(&object.kind).ok_or(RemediationError::NotSafe)?;
        let before = context
            .get(resource, object.namespace.as_deref(), &object.name)
            .await?
            .ok_or_else(|| RemediationError::Gone(object.clone()))?;
        let not_mechanical = |why| RemediationError::NotMechanical {
            object: object.clone(),
            why,
        };
        let after = match safe.edit {
            Edit::Delete => {
                edit::may_go(&before).map_err(not_mechanical)?;
                context.delete_seen(resource, &before, Effect::Tried).await?;
                None
            }
            Edit::Mutual => {
                let fields = edit::mutual(&before).map_err(not_mechanical)?;
                let after = context.apply_to_seen(resource, &before, &fields, Effect::Tried);
                Some(after.await?)
            }
        };
        Ok(Self {
            object: object.clone(),
            resource,
            edit: safe.edit,
            because: safe.because.clone(),
            before,
            after,
        })
    }

    /// The object.
    #[must_use]
    pub const fn object(&self) -> &ObjectRef {
        &self.object
    }

    /// Why a machine may do it.
    #[must_use]
    pub fn because(&self) -> &str {
        &self.because
    }

    /// The object as it is, without what the server keeps about it: what `kubectl create -f` writes again.
    #[must_use]
    pub fn before(&self) -> String {
        edit::text(&self.before)
    }

    /// What would change, as a unified diff.
    #[must_use]
    pub fn diff(&self) -> String {
        let (before, after) = (self.before(), self.after.as_ref().map(edit::text));
        let after_name = match after {
            Some(_) => format!("{} (after)", self.object),
            None => "/dev/null".to_owned(),
        };
        similar::TextDiff::from_lines(&before, &after.unwrap_or_default())
            .unified_diff()
            .header(&self.object.to_string(), &after_name)
            .to_string()
    }

    /// Who wrote the object besides kubectl: a controller among them will write it again, and is where to change it.
    #[must_use]
    pub fn controllers(&self) -> Vec<String> {
        edit::controllers(&self.before)
    }

    /// Makes the change. Where it is not known whether it was made, [`Made::undo`] finds out.
    ///
    /// # Errors
    /// When the object has changed meanwhile, or the server refuses. Nothing is written then.
    pub async fn make(&self, context: &Context) -> Result<Made, RemediationError> {
        let made = match self.edit {
            Edit::Delete => {
                context
                    .delete_seen(self.resource, &self.before, Effect::Made)
                    .await
            }
            Edit::Mutual => {
                let fields = edit::mutual(&self.before).map_err(|why| RemediationError::NotMechanical {
                    object: self.object.clone(),
                    why,
                })?;
                let after = context.apply_to_seen(self.resource, &self.before, &fields, Effect::Made);
                after.await.map(|_| ())
            }
        };
        made.map_err(|error| self.told(error))?;
        Ok(self.presumed())
    }

    /// The change, where whoever made it was stopped before they knew whether it was.
    pub fn presumed(&self) -> Made {
        Made { plan: self.clone() }
    }

    fn told(&self, error: KubernetesError) -> RemediationError {
        match error {
            KubernetesError::Refused { code: 409, .. } => RemediationError::Changed(self.object.clone()),
            KubernetesError::Refused { code: 404, .. } => RemediationError::Gone(self.object.clone()),
            error => error.into(),
        }
    }
}

impl Made {
    /// Writes the object as it was, unless somebody else has changed it since.
    ///
    /// # Errors
    /// When it is another by now, or may not be written.
    pub async fn undo(&self, context: &Context) -> Result<Undone, RemediationError> {
        let plan = &self.plan;
        let (namespace, name) = (plan.object.namespace.as_deref(), plan.object.name.as_str());
        let now = context.get(plan.resource, namespace, name).await?;
        let is_same = |field: &str, now: &Value| now["metadata"][field] == plan.before["metadata"][field];
        match (now, plan.edit) {
            (Some(now), _) if is_same("uid", &now) && is_same("resourceVersion", &now) => {
                Ok(Undone::Unchanged)
            }
            (None, Edit::Delete) => {
                let written = context
                    .create(plan.resource, &anew(&plan.before), Effect::Made)
                    .await;
                written.map_err(|error| plan.told(error))?;
                Ok(Undone::Restored)
            }
            (Some(now), Edit::Mutual) if is_same("uid", &now) && edit::is_like(&now, plan.after.as_ref()) => {
                let mut before = plan.before.clone();
                before["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"].clone();
                let written = context.replace(plan.resource, &before).await;
                written.map_err(|error| plan.told(error))?;
                Ok(Undone::Restored)
            }
            _ => Err(RemediationError::Changed(plan.object.clone())),
        }
    }

    /// What was changed.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.edit {
            Edit::Delete => write!(f, "delete {}", self.object),
            Edit::Mutual => write!(
                f,
                "set tls to ISTIO_MUTUAL wherever {} sets anything",
                self.object
            ),
        }
    }
}
