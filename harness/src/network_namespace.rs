//! Network namespaces, each held by a thread of its own that never leaves it.
//!
//! A socket belongs to the namespace of the thread that made it, and a process to that of the thread that started it,
//! whoever uses them afterwards. So only these two things are done on the thread; everything else stays on the
//! runtime. A namespace has no name in the file system: the system takes it away, with its interfaces and rules, when
//! its thread has ended and nothing runs in it any more, however the harness came to its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};

use socket2::{Domain, Socket, Type};
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace. Clones are the same one; it goes when the last of them does.
#[derive(Clone, Debug)]
pub struct NetworkNamespace {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    jobs: Sender<Job>,
    /// Where the system shows it; `None` for the harness's own.
    path: Option<PathBuf>,
}

impl NetworkNamespace {
    /// The one the harness itself is in.
    #[must_use]
    pub fn own() -> &'static Self {
        static OWN: OnceLock<NetworkNamespace> = OnceLock::new();
        OWN.get_or_init(|| {
            let (jobs, received) = channel();
            std::thread::spawn(move || work(&received));
            Self {
                held: Arc::new(Held { jobs, path: None }),
            }
        })
    }

    /// A new one, in which there is nothing but a loopback interface that is down.
    ///
    /// # Errors
    /// When the system has no such namespaces, or allows none to this user.
    pub async fn new() -> io::Result<Self> {
        Self::held(enter_new).await
    }

    /// The one that the system shows at `path`, whoever made it.
    ///
    /// # Errors
    /// When it is not there, or not for this user to enter.
    pub async fn existing(path: PathBuf) -> io::Result<Self> {
        Self::held(move || enter(&path)).await
    }

    /// One that a new thread goes into by `enter`, and holds.
    async fn held(enter: impl FnOnce() -> io::Result<PathBuf> + Send + 'static) -> io::Result<Self> {
        let (jobs, received) = channel();
        let (answer, entered) = oneshot::channel();
        std::thread::Builder::new()
            .name("namespace".to_owned())
            .spawn(move || {
                let path = enter();
                let is_inside = path.is_ok();
                if answer.send(path).is_ok() && is_inside {
                    work(&received);
                }
            })?;
        let path = entered.await.map_err(|_| gone())??;
        Ok(Self {
            held: Arc::new(Held {
                jobs,
                path: Some(path),
            }),
        })
    }

    /// Where the system shows it, for commands that take a namespace; `None` for the harness's own.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.held.path.as_deref()
    }

    /// Does `job` inside. What it gives back is dropped on the thread where nobody waits for it any more.
    ///
    /// # Errors
    /// When the thread is gone.
    pub async fn inside<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (answer, done) = oneshot::channel();
        let job: Job = Box::new(move || drop(answer.send(job())));
        self.held.jobs.send(job).map_err(|_| gone())?;
        done.await.map_err(|_| gone())
    }

    /// A TCP socket of this namespace that does not block. Packets that it sends carry `mark`.
    ///
    /// # Errors
    /// When the system gives none, or forbids marks.
    pub async fn tcp_socket(&self, mark: Option<u32>) -> io::Result<Socket> {
        if self.path().is_none() {
            return tcp_socket(mark);
        }
        self.inside(move || tcp_socket(mark)).await?
    }
}

/// Makes an unprivileged process root of a user namespace of its own, in which it may have network namespaces. One that is
/// root stays where it is.
///
/// # Errors
/// When the system allows it no user namespace, or the process has more than one thread.
#[cfg(target_os = "linux")]
pub fn become_root_of_own() -> io::Result<()> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if user.is_root() {
        return Ok(());
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER)?;
    // user_namespaces(7): a process without privilege maps itself, and its group only once it gave up changing groups.
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
}

/// Elsewhere there are no such namespaces.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn become_root_of_own() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn tcp_socket(mark: Option<u32>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Some(mark) = mark {
        set_mark(&socket, mark)?;
    }
    Ok(socket)
}

#[cfg(target_os = "linux")]
fn set_mark(socket: &Socket, mark: u32) -> io::Result<()> {
    socket.set_mark(mark)
}

#[cfg(not(target_os = "linux"))]
fn set_mark(_: &Socket, _: u32) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Takes this thread into a namespace that is made for it.
#[cfg(target_os = "linux")]
fn enter_new() -> io::Result<PathBuf> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    Ok(path_of_this_thread())
}

/// Takes this thread into one that is there.
#[cfg(target_os = "linux")]
fn enter(path: &Path) -> io::Result<PathBuf> {
    nix::sched::setns(std::fs::File::open(path)?, nix::sched::CloneFlags::CLONE_NEWNET)?;
    Ok(path_of_this_thread())
}

#[cfg(target_os = "linux")]
fn path_of_this_thread() -> PathBuf {
    let thread = nix::unistd::gettid();
    PathBuf::from(format!("/proc/{}/task/{thread}/ns/net", std::process::id()))
}

#[cfg(not(target_os = "linux"))]
fn enter(_: &Path) -> io::Result<PathBuf> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn enter_new() -> io::Result<PathBuf> {
    Err(io::ErrorKind::Unsupported.into())
}

fn work(jobs: &Receiver<Job>) {
    for job in jobs {
        job();
    }
}

fn gone() -> io::Error {
    io::Error::other("the thread of a network namespace is gone")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn sockets_of_two_namespaces_do_not_share_ports() {
        let (Ok(one), Ok(other)) = (NetworkNamespace::new().await, NetworkNamespace::new().await) else {
            // Where the system allows none, `new` says so; that is all there is to see.
            return;
        };
        let bind = |socket: &Socket| {
            socket.bind(&(std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080))).into())
        };
        let first = one.tcp_socket(None).await.unwrap();
        bind(&first).unwrap();
        first.listen(1).unwrap();
        let second = other.tcp_socket(None).await.unwrap();
        bind(&second).unwrap();
        let again = one.tcp_socket(None).await.unwrap();
        assert_eq!(bind(&again).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_namespace_is_gone_with_its_last_handle() {
        let Ok(namespace) = NetworkNamespace::new().await else {
            return;
        };
        let path = namespace.path().unwrap().to_owned();
        assert!(path.exists());
        let thread = namespace.inside(std::thread::current).await.unwrap().id();
        assert_ne!(thread, std::thread::current().id());
        drop(namespace);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while path.exists() {
            assert!(
                std::time::Instant::now() < deadline,
                "{} is still there",
                path.display()
            );
            tokio::task::yield_now().await;
        }
    }
}
