//! What is kept of a call that did not go as expected: everything that somebody would ask for next, in one folder.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kinds::{EVENTS, PODS, WEBHOOKS};
use super::pods::Running;
use super::proxy::Proxy;
use crate::kubernetes::{Container, Context, Cursor, Selection};
use crate::mesh::MeshError;

/// As much as is kept of one thing; of a log its end.
const LONGEST: usize = 2 * 1024 * 1024;
/// What of a sidecar's configuration is kept.
const DUMPS: [(&str, &str); 4] = [
    ("listeners", "/config_dump?resource=dynamic_listeners"),
    ("clusters", "/config_dump?resource=dynamic_active_clusters"),
    ("secrets", "/config_dump?resource=dynamic_active_secrets"),
    ("stats", "/stats?usedonly"),
];
const ISTIOD: &str = "istiod";

/// A folder that is being filled.
pub(super) struct Bundle<'a> {
    context: &'a Context,
    folder: PathBuf,
    /// What could not be got, and why.
    missing: Vec<String>,
}

impl<'a> Bundle<'a> {
    /// A folder that only its user may read.
    pub(super) fn create(context: &'a Context, folder: PathBuf) -> Result<Self, MeshError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| MeshError::Bundle {
            path: folder.clone(),
            source,
        })?;
        Ok(Self {
            context,
            folder,
            missing: Vec::new(),
        })
    }

    /// One end of the call: its pod, and of its sidecar the log and the configuration in force.
    pub(super) async fn end(&mut self, which: &str, pod: &Running) -> Result<(), MeshError> {
        let selection = Selection {
            resource: &PODS,
            namespace: Some(&pod.namespace),
            name: Some(&pod.name),
        };
        self.objects(&format!("{which}-pod.json"), &selection).await?;
        let Some(proxy) = Proxy::of(self.context, pod) else {
            return Ok(());
        };
        self.log(&format!("{which}-istio-proxy.log"), proxy.container())
            .await?;
        for (name, path) in DUMPS {
            let file = format!("{which}-{name}.json");
            match proxy.dump(path).await {
                Ok(text) => self.write(&file, &without_keys(&text))?,
                Err(error) => self.missing.push(format!("{file}: {error}")),
            }
        }
        Ok(())
    }

    /// What happened in a namespace.
    pub(super) async fn events(&mut self, namespace: &str) -> Result<(), MeshError> {
        let selection = Selection {
            resource: &EVENTS,
            namespace: Some(namespace),
            name: None,
        };
        self.objects(&format!("events-{namespace}.json"), &selection)
            .await
    }

    /// The control plane: what istiod logged, and who injects.
    pub(super) async fn control_plane(&mut self, root_namespace: &str) -> Result<(), MeshError> {
        self.objects("webhooks.json", &Selection::all(&WEBHOOKS)).await?;
        let selection = Selection {
            resource: &PODS,
            namespace: Some(root_namespace),
            name: None,
        };
        let mut pods = Vec::new();
        let listed = self.context.list(&selection, |pod| {
            let metadata = &pod["metadata"];
            if metadata["labels"]["app"] == ISTIOD
                && let Some(name) = metadata["name"].as_str()
            {
                pods.push(name.to_owned());
            }
        });
        if let Err(error) = listed.await {
            self.missing.push(format!("logs of istiod: {error}"));
        }
        for pod in pods {
            let container = Container {
                namespace: root_namespace.to_owned(),
                name: "discovery".to_owned(),
                pod,
            };
            self.log(&format!("{}.log", container.pod), &container).await?;
        }
        Ok(())
    }

    /// Notes what is missing; where the folder is.
    pub(super) fn close(self) -> Result<PathBuf, MeshError> {
        if !self.missing.is_empty() {
            self.write("missing.txt", &self.missing.join("\n"))?;
        }
        Ok(self.folder)
    }

    async fn objects(&mut self, file: &str, selection: &Selection<'_>) -> Result<(), MeshError> {
        let mut found = Vec::new();
        let listed = self.context.list(selection, |mut object| {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.remove("managedFields");
            }
            found.push(object);
        });
        match listed.await {
            Ok(_) => self.write(file, &without_keys(&Value::from(found).to_string())),
            Err(error) => {
                self.missing.push(format!("{file}: {error}"));
                Ok(())
            }
        }
    }

    async fn log(&mut self, file: &str, container: &Container) -> Result<(), MeshError> {
        match self.context.log(container, &mut Cursor::default()).await {
            Ok(lines) => self.write(file, &lines.join("\n")),
            Err(error) => {
                self.missing.push(format!("{file}: {error}"));
                Ok(())
            }
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<(), MeshError> {
        let path = self.folder.join(file);
        let mut from = text.len().saturating_sub(LONGEST);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        std::fs::write(&path, &text[from..]).map_err(|source| MeshError::Bundle { path, source })
    }
}

/// The text, JSON without what follows a private key. Envoy redacts its own; whoever put one elsewhere did not.
fn without_keys(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            redact(&mut value);
            format!("{value:#}")
        }
        Err(_) => text.to_owned(),
    }
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if matches!(key.as_str(), "private_key" | "privateKey" | "session_ticket_keys") {
                    *value = "(redacted)".into();
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::String(text) if text.contains("PRIVATE KEY-----") => *value = "(redacted)".into(),
        _ => {}
    }
}

/// The name of a call as one of a folder.
pub(super) fn folder_of(bundles: &Path, run: &str, number: u64, call: &str) -> PathBuf {
    let name: String = call
        .chars()
        .map(|it| {
            if it.is_ascii_alphanumeric() || it == '.' {
                it
            } else {
                '-'
            }
        })
        .take(100)
        .collect();
    bundles.join(run).join(format!("{number:03}-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_kept_wherever_it_is() {
        let text = r#"{"a": [{"private_key": {"inline_bytes": "c2VjcmV0"}}], "env": "-----BEGIN PRIVATE KEY-----\nsecret", "name": "kept"}"#;
        let kept = without_keys(text);
        assert!(!kept.contains("c2VjcmV0") && !kept.contains("secret"), "{kept}");
        assert!(kept.contains("\"kept\""));
    }
}
