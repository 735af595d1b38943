//! Programs started from a thread that lives as long as the harness, and ended with it.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long a program may take to end after being killed. Measured for Envoy: 16 to 32 ms.
const EXIT_DEADLINE: Duration = Duration::from_secs(2);
/// How often a dying program is looked at where nothing can be awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Kills a child and waits for its end.
pub(crate) fn end(child: &mut Child) {
    // Fails only when it is gone already.
    let _ = child.start_kill();
    let deadline = Instant::now() + EXIT_DEADLINE;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A request to the spawning thread.
type Spawn = (Command, Handle, oneshot::Sender<std::io::Result<Child>>);

/// Spawns on a thread that never ends: on Linux a child's parent-death signal follows the *thread* that spawned it,
/// and a worker of a runtime may end long before the harness does.
pub(crate) async fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Spawn>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Spawn>();
        std::thread::spawn(move || {
            for (mut command, runtime, answer) in requests {
                let _runtime = runtime.enter();
                die_with_parent(&mut command);
                if let Err(Ok(mut child)) = answer.send(command.spawn()) {
                    // The asker was cancelled, and its directory is going away.
                    end(&mut child);
                }
            }
        });
        sender
    });
    let (answer, child) = oneshot::channel();
    let gone = || std::io::Error::other("the spawning thread is gone");
    spawner
        .send((command, Handle::current(), answer))
        .map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let harness = nix::unistd::Pid::this();
    let request = move || {
        nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
        // A harness that died before the request sends no signal any more.
        if nix::unistd::getppid() == harness {
            Ok(())
        } else {
            Err(nix::errno::Errno::ESRCH.into())
        }
    };
    // SAFETY: the closure makes two async-signal-safe system calls (prctl, getppid) and allocates nothing.
    #[expect(
        unsafe_code,
        reason = "the parent-death signal can only be set between fork and exec"
    )]
    unsafe {
        command.pre_exec(request);
    }
}

/// Elsewhere a killed harness leaves its proxies to the next start, or to `clean`.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}
