//! The server as a test holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::Value;
use tokio::sync::{oneshot, watch};

use crate::exec::{Exec, Executed};
use crate::kinds::{Kind, Row};
use crate::log;
use crate::objects::{Key, Objects};
use crate::request::Seen;
use crate::serve;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Double {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// PEM, where the server speaks TLS.
    authority: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How a server begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Serve over TLS, with a certificate of its own.
    pub tls: bool,
}

/// What becomes of requests from now on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// They are answered.
    Never,
    /// So many more are answered; then each answer ends in its middle and with it the connection.
    MidwayAfter(usize),
    /// So many more are answered; then connections end without an answer.
    After(usize),
    /// They are taken, and never answered.
    Silent,
}

/// What a controller would do when an object is written: it may change the object, and gives others to write.
type Reaction = Box<dyn FnMut(&Key, &mut Value) -> Vec<Value> + Send>;

/// What programs in pods do.
pub(crate) type Programs = Box<dyn FnMut(&Exec) -> Executed + Send>;

/// What connections share.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) changed: watch::Sender<u64>,
    /// Apart from the state, which a program may look at and change.
    pub(crate) programs: Mutex<Option<Programs>>,
}

pub(crate) struct State {
    pub(crate) objects: Objects,
    pub(crate) kinds: Vec<Kind>,
    /// User by token; while empty, everybody is `admin`.
    pub(crate) users: BTreeMap<String, String>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) cut: Cut,
    pub(crate) logs: BTreeMap<(String, String, Option<String>), String>,
    /// Lines added to logs so far, which is what tells the time of each.
    pub(crate) logged: u64,
    pub(crate) release: String,
    admitters: Vec<Admitter>,
    reactions: Vec<Reaction>,
    mourners: Vec<Reaction>,
}

type Admitter = Box<dyn FnMut(&Key, &mut Value) + Send>;

/// Who may do anything.
pub(crate) const ADMIN: &str = "admin";

impl Double {
    /// Starts a server with the kinds that every API server has, and the namespace `default`.
    ///
    /// # Panics
    /// When loopback has no port left.
    #[must_use]
    pub fn start(setup: Setup) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                objects: Objects::default(),
                kinds: Kind::built_in(),
                users: BTreeMap::new(),
                seen: Vec::new(),
                cut: Cut::Never,
                logs: BTreeMap::new(),
                logged: 0,
                release: "v1.36.2".to_owned(),
                admitters: Vec::new(),
                reactions: Vec::new(),
                mourners: Vec::new(),
            }),
            changed: watch::Sender::new(0),
            programs: Mutex::new(None),
        });
        let (stop, stopped) = oneshot::channel();
        let running = serve::start(Arc::clone(&shared), setup, stopped);
        let double = Self {
            shared,
            address: running.address,
            authority: running.authority,
            stop: Some(stop),
            thread: Some(running.thread),
        };
        double.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: default}");
        double
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// A kubeconfig with one context of this name.
    #[must_use]
    pub fn kubeconfig(&self, context: &str, token: &str) -> String {
        let authority = self.authority.as_ref().map(|it| {
            let lines: Vec<String> = it.lines().map(|line| format!("        {line}")).collect();
            // The data is base64 of PEM in a kubeconfig; a file would outlive the test.
            format!(
                ", certificate-authority-data: {}",
                base64(
                    &lines
                        .iter()
                        .map(|it| format!("{}\n", it.trim()))
                        .collect::<String>()
                )
            )
        });
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- {{name: double, cluster: {{server: \"{}\"{}}}}}\n\
             users:\n- {{name: user, user: {{token: {token}}}}}\n\
             contexts:\n- {{name: {context}, context: {{cluster: double, user: user}}}}\n",
            self.url(),
            authority.unwrap_or_default()
        )
    }

    /// Serves further kinds, those of CRDs say.
    pub fn serve(&self, kinds: &[Row]) {
        self.shared.state().kinds.extend(kinds.iter().map(Kind::from));
    }

    /// Serves kinds of this group no more.
    pub fn withdraw(&self, group: &str) {
        self.shared.state().kinds.retain(|it| it.group != group);
    }

    /// The Kubernetes release that it says it is, as `v1.33.1`.
    pub fn release(&self, release: &str) {
        self.shared.state().release = release.to_owned();
    }

    /// Writes the objects of a text, status and all, and their namespaces where they are not there. A
    /// CustomResourceDefinition makes its kind served.
    ///
    /// # Panics
    /// When the text is no YAML, or a kind is not served.
    pub fn apply(&self, text: &str) {
        for value in documents(text) {
            self.shared.state().write(value);
        }
        self.shared.tell();
    }

    /// Removes an object.
    pub fn delete(&self, key: &Key) {
        self.shared.state().objects.remove(key);
        self.shared.tell();
    }

    /// All objects of a kind, by plural name and group.
    #[must_use]
    pub fn objects(&self, group: &str, plural: &str) -> Vec<Value> {
        let state = self.shared.state();
        let of_kind = state
            .objects
            .all()
            .filter(|(key, _)| key.group == group && key.plural == plural);
        of_kind.map(|(_, value)| value.clone()).collect()
    }

    /// Lets a token in as a user. From the first one on, a request needs one. The user `admin` may do anything, others
    /// what the roles and bindings among the objects let them.
    pub fn user(&self, token: &str, user: &str) {
        self.shared
            .state()
            .users
            .insert(token.to_owned(), user.to_owned());
    }

    /// Lets a token in no more, as when it has expired.
    pub fn expire(&self, token: &str) {
        let mut state = self.shared.state();
        // Some other must stay, or everybody would be let in.
        state.users.insert("kept".to_owned(), ADMIN.to_owned());
        state.users.remove(token);
    }

    /// Forgets what happened: continue tokens and watches from before are refused with 410.
    pub fn forget_history(&self) {
        self.shared.state().objects.forget();
        self.shared.tell();
    }

    /// Breaks connections, or stops to.
    pub fn cut(&self, cut: Cut) {
        self.shared.state().cut = cut;
        self.shared.tell();
    }

    /// Has a mutating webhook asked about everything that is created, tried or not.
    pub fn on_admission(&self, webhook: impl FnMut(&Key, &mut Value) + Send + 'static) {
        self.shared.state().admitters.push(Box::new(webhook));
    }

    /// Has a controller look at everything that is written.
    pub fn on_write(&self, reaction: impl FnMut(&Key, &mut Value) -> Vec<Value> + Send + 'static) {
        self.shared.state().reactions.push(Box::new(reaction));
    }

    /// Has a controller look at everything that is deleted by a request.
    pub fn on_delete(&self, reaction: impl FnMut(&Key, &mut Value) -> Vec<Value> + Send + 'static) {
        self.shared.state().mourners.push(Box::new(reaction));
    }

    /// Lets programs run in pods; without, to run one is refused.
    pub fn on_exec(&self, program: impl FnMut(&Exec) -> Executed + Send + 'static) {
        let mut programs = self
            .shared
            .programs
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *programs = Some(Box::new(program));
    }

    /// What a pod's container has logged so far, each line behind the time at which it did. Where it begins with what it was
    /// before, those who follow get the rest; otherwise their log is at its end, as when a container begins again.
    pub fn log(&self, namespace: &str, pod: &str, container: Option<&str>, text: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.map(str::to_owned));
        self.shared.state().logs.insert(key, text.to_owned());
        self.shared.tell();
    }

    /// Has a pod's container log these lines after what it has logged so far, a millisecond each.
    pub fn append_log(&self, namespace: &str, pod: &str, container: Option<&str>, lines: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.map(str::to_owned));
        let mut state = self.shared.state();
        for line in lines.lines() {
            state.logged += 1;
            let stamped = format!("{} {line}\n", log::time(state.logged));
            state.logs.entry(key.clone()).or_default().push_str(&stamped);
        }
        drop(state);
        self.shared.tell();
    }

    /// The requests about resources that reached it so far, in their order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes watches.
    pub(crate) fn tell(&self) {
        self.changed.send_modify(|it| *it += 1);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl State {
    /// The kind of that name, which must be served.
    ///
    /// # Panics
    /// When it is not.
    pub(crate) fn kind(&self, group: &str, plural: &str) -> Kind {
        let kind = self
            .kinds
            .iter()
            .find(|it| it.group == group && it.plural == plural);
        kind.cloned()
            .unwrap_or_else(|| panic!("{plural} of {group:?} are not served"))
    }

    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        let key = Key::new(&self.kind("", "namespaces"), None, name);
        self.objects.get(&key).is_some()
    }

    pub(crate) fn is_terminating(&self, namespace: &str) -> bool {
        let key = Key::new(&self.kind("", "namespaces"), None, namespace);
        let kept = self.objects.get(&key);
        kept.is_some_and(|it| !it.value["metadata"]["deletionTimestamp"].is_null())
    }

    pub(crate) fn put(&mut self, key: Key, value: Value) -> Value {
        let owners = self
            .objects
            .get(&key)
            .map(|it| it.owners.clone())
            .unwrap_or_default();
        self.put_owned(key, value, owners)
    }

    pub(crate) fn put_owned(
        &mut self,
        key: Key,
        mut value: Value,
        owners: BTreeMap<String, BTreeSet<Vec<String>>>,
    ) -> Value {
        let is_new = self.objects.get(&key).is_none();
        for admit in self.admitters.iter_mut().filter(|_| is_new) {
            admit(&key, &mut value);
        }
        let mut reactions = std::mem::take(&mut self.reactions);
        let others: Vec<Value> = reactions.iter_mut().flat_map(|it| it(&key, &mut value)).collect();
        self.reactions = reactions;
        if key.plural == "customresourcedefinitions" {
            self.kinds.extend(Kind::of_definition(&value));
        }
        let value = self.objects.put(key, value, owners);
        for other in others {
            self.write(other);
        }
        value
    }

    /// Removes an object, and lets controllers do what they do then.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Value> {
        let mut value = self.objects.remove(key)?;
        let mut mourners = std::mem::take(&mut self.mourners);
        let others: Vec<Value> = mourners.iter_mut().flat_map(|it| it(key, &mut value)).collect();
        self.mourners = mourners;
        for other in others {
            self.write(other);
        }
        Some(value)
    }

    /// Carries something out of which nothing stays, and which no controller sees.
    pub(crate) fn tried<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let objects = self.objects.clone();
        let (reactions, mourners) = (
            std::mem::take(&mut self.reactions),
            std::mem::take(&mut self.mourners),
        );
        let done = work(self);
        self.objects = objects;
        (self.reactions, self.mourners) = (reactions, mourners);
        done
    }

    fn write(&mut self, value: Value) {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let served = self.kinds.iter().find(|it| it.group == group && it.kind == kind);
        let Some(served) = served.cloned() else {
            panic!("{kind} of {api_version} is not served");
        };
        let namespace = Some(text("/metadata/namespace"))
            .filter(|it| !it.is_empty())
            .unwrap_or("default");
        if served.is_namespaced && !self.has_namespace(namespace) && namespace != "default" {
            let key = Key::new(&self.kind("", "namespaces"), None, namespace);
            self.put(key, serde_json::json!({"metadata": {"name": namespace}}));
        }
        let key = Key::new(&served, Some(namespace), text("/metadata/name"));
        self.put(key, value);
    }
}

fn documents(text: &str) -> Vec<Value> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_documents: 100_000, max_nodes: 20_000_000, max_events: 60_000_000 },
    };
    let read: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
        .unwrap_or_else(|error| panic!("no YAML: {error}"));
    let items = |value: Value| match value.get("items").and_then(Value::as_array) {
        Some(items) if value["kind"] == "List" => items.clone(),
        _ => vec![value],
    };
    read.into_iter()
        .filter(|it| !it.is_null())
        .flat_map(items)
        .collect()
}

/// Base64 (RFC 4648, 4).
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS[(bits & 63) as usize]);
    text.as_bytes()
        .chunks(3)
        .flat_map(|chunk| {
            let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            let digits = [bits >> 18, bits >> 12, bits >> 6, bits].map(digit);
            (0..4).map(move |index| if index <= chunk.len() { digits[index] } else { '=' })
        })
        .collect()
}
