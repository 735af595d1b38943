//! The one way this module calls other programs: bounded in time, in a process group of their own, and logged.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// What is kept of each stream, for answers and for the log. The longest answer read is a list of clusters.
const KEPT: u64 = 64 * 1024;
/// Lines of its complaint that an error quotes.
const QUOTED: usize = 12;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It took too long, and was killed with everything it had started.
    #[error(
        "`{command}` did not end within {} s and was killed; all it said is in {}", within.as_secs(), log.display()
    )]
    Stalled {
        /// Program and arguments.
        command: String,
        /// The bound.
        within: Duration,
        /// What it said.
        log: PathBuf,
    },
    /// It ended with a failure.
    #[error("`{command}` ended with {status}: {said}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// Its exit code or signal.
        status: String,
        /// The last lines of what it said.
        said: String,
    },
    /// The log, or a file for its output, cannot be written.
    #[error("cannot write to {}: {source}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A program to call. No secret may be among the arguments: they are logged.
#[derive(Clone, Debug)]
pub(super) struct Invocation<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: Vec<String>,
    /// Given on standard input; not logged.
    pub(super) input: Vec<u8>,
    pub(super) within: Duration,
}

impl<'a> Invocation<'a> {
    pub(super) fn new<A: Into<String>>(
        program: &'a Path,
        within: Duration,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            input: Vec::new(),
            within,
        }
    }

    pub(super) fn with_input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) is_success: bool,
    /// The beginning of its standard output.
    pub(super) output: String,
}

/// Calls programs, and writes down which, for how long, and what they said.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    log: PathBuf,
}

impl Runner {
    /// A runner that writes to the file `log`, which only its user may read.
    pub(super) const fn new(log: PathBuf) -> Self {
        Self { log }
    }

    /// Calls a program that must succeed; its standard output.
    pub(super) async fn run(&self, invocation: Invocation<'_>) -> Result<String, CommandError> {
        let command = written(&invocation);
        let (ended, status, complaint) = self.call(invocation).await?;
        if ended.is_success {
            return Ok(ended.output);
        }
        let said = if complaint.trim().is_empty() {
            &ended.output
        } else {
            &complaint
        };
        Err(CommandError::Failed {
            command,
            status,
            said: last_lines(said),
        })
    }

    /// Calls a program whose failure is an answer too.
    pub(super) async fn ask(&self, invocation: Invocation<'_>) -> Result<Ended, CommandError> {
        self.call(invocation).await.map(|(ended, ..)| ended)
    }

    /// Dropping the future kills the program with all it started, as a time that is up does: so Ctrl-C, which drops
    /// whatever runs, reaches programs although they are in a group of their own.
    async fn call(&self, invocation: Invocation<'_>) -> Result<(Ended, String, String), CommandError> {
        let command = written(&invocation);
        let within = invocation.within;
        let failed = |source| CommandError::Log {
            path: self.log.clone(),
            source,
        };
        let (mut output, mut complaint) = (
            tempfile::tempfile().map_err(failed)?,
            tempfile::tempfile().map_err(failed)?,
        );
        let begun = Instant::now();
        tracing::info!(%command, "calling");
        let handle = duct::cmd(invocation.program, &invocation.arguments)
            .stdin_bytes(invocation.input)
            .stdout_file(output.try_clone().map_err(failed)?)
            .stderr_file(complaint.try_clone().map_err(failed)?)
            .unchecked()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .start()
            .map_err(|source| CommandError::Start {
                program: invocation.program.display().to_string(),
                source,
            })?;
        let mut group = Group::of(&handle);
        let waited = tokio::task::spawn_blocking(move || handle.wait().map(|it| it.status));
        let waited = tokio::time::timeout(within, waited).await;
        let (output, complaint) = (
            beginning(&mut output).map_err(failed)?,
            beginning(&mut complaint).map_err(failed)?,
        );
        let status = match waited {
            Err(_) => None,
            Ok(Ok(Ok(status))) => {
                group.has_ended();
                Some(status)
            }
            Ok(Ok(Err(source))) => {
                return Err(CommandError::Start {
                    program: command,
                    source,
                });
            }
            Ok(Err(join)) => {
                return Err(CommandError::Start {
                    program: command,
                    source: std::io::Error::other(join),
                });
            }
        };
        let how = status.map_or_else(|| "killed: too slow".to_owned(), |it| it.to_string());
        tracing::info!(%command, %how, "ended");
        let record = format!(
            "$ {command}\n{output}{complaint}# {how}, after {:.1} s\n\n",
            begun.elapsed().as_secs_f64()
        );
        self.write(&record).map_err(failed)?;
        let Some(status) = status else {
            return Err(CommandError::Stalled {
                command,
                within,
                log: self.log.clone(),
            });
        };
        let ended = Ended {
            is_success: status.success(),
            output,
        };
        Ok((ended, status.to_string(), complaint))
    }

    fn write(&self, record: &str) -> std::io::Result<()> {
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.log)?;
        log.write_all(record.as_bytes())
    }
}

/// The process groups of a program, killed when dropped unless it has ended.
struct Group(Vec<Pid>);

impl Group {
    fn of(handle: &duct::Handle) -> Self {
        let ids = handle.pids().into_iter();
        Self(
            ids.filter_map(|id| i32::try_from(id).ok().map(Pid::from_raw))
                .collect(),
        )
    }

    /// Its id may be another's from now on.
    fn has_ended(&mut self) {
        self.0.clear();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for group in &self.0 {
            // Fails only when all have ended.
            let _ = killpg(*group, Signal::SIGKILL);
        }
    }
}

fn written(invocation: &Invocation<'_>) -> String {
    let program = invocation.program.file_name().unwrap_or_default();
    let mut command = program.to_string_lossy().into_owned();
    for argument in &invocation.arguments {
        command.push(' ');
        if argument.is_empty() || argument.contains(char::is_whitespace) {
            command.push_str(&format!("{argument:?}"));
        } else {
            command.push_str(argument);
        }
    }
    command
}

fn beginning(file: &mut File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(KEPT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|it| !it.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(QUOTED)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner() -> (tempfile::TempDir, Runner) {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("commands.log");
        (folder, Runner::new(log))
    }

    fn shell(script: &str, within: Duration) -> Invocation<'static> {
        Invocation::new(Path::new("/bin/sh"), within, ["-c", script])
    }

    /// Waits until nobody holds the other end of a pipe any more: its file descriptors die with the processes.
    fn all_have_ended(mut pipe: File) {
        let mut rest = Vec::new();
        pipe.read_to_end(&mut rest).unwrap();
    }

    fn fifo(folder: &Path) -> PathBuf {
        let path = folder.join("alive");
        duct::cmd!("mkfifo", &path).run().unwrap();
        path
    }

    #[tokio::test]
    async fn what_a_program_said_is_answered_and_logged() {
        let (_folder, runner) = runner();
        let bound = Duration::from_secs(20);
        let said = runner
            .run(shell("echo out; echo err >&2; cat", bound).with_input("given"))
            .await
            .unwrap();
        assert_eq!(said, "out\ngiven");
        let log = std::fs::read_to_string(&runner.log).unwrap();
        assert!(
            log.starts_with("$ sh -c \"echo out; echo err >&2; cat\"\nout\n"),
            "{log}"
        );
        assert!(log.contains("err\n"), "{log}");
        assert!(log.contains("# exit status: 0, after "), "{log}");
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&runner.log).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_failure_names_the_command_its_status_and_its_last_words() {
        let (_folder, runner) = runner();
        let bound = Duration::from_secs(20);
        let error = runner
            .run(shell("echo no room >&2; exit 7", bound))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c \"echo no room >&2; exit 7\"` ended with exit status: 7: no room"
        );
        let asked = runner.ask(shell("exit 7", bound)).await.unwrap();
        assert!(!asked.is_success);
    }

    #[tokio::test]
    async fn what_stalls_is_killed_with_all_it_started_and_is_named() {
        let (folder, runner) = runner();
        let path = fifo(folder.path());
        let script = format!(
            "echo begun; (sleep 600; true) >{0} & sleep 600 >{0}",
            path.display()
        );
        let opening = std::thread::spawn(move || File::open(path).unwrap());
        let error = runner
            .run(shell(&script, Duration::from_millis(800)))
            .await
            .unwrap_err();
        assert!(matches!(error, CommandError::Stalled { .. }), "{error}");
        assert!(error.to_string().contains("did not end within 0 s"), "{error}");
        all_have_ended(opening.join().unwrap());
        let log = std::fs::read_to_string(&runner.log).unwrap();
        assert!(
            log.contains("begun") && log.contains("# killed: too slow"),
            "{log}"
        );
    }

    #[tokio::test]
    async fn what_is_interrupted_is_killed_with_all_it_started() {
        let (folder, runner) = runner();
        let path = fifo(folder.path());
        let script = format!("exec 3>{}; sleep 600", path.display());
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let opening = std::thread::spawn(move || {
            let file = File::open(path).unwrap();
            begun.send(()).unwrap();
            file
        });
        tokio::select! {
            ended = runner.run(shell(&script, Duration::from_secs(60))) => panic!("{ended:?}"),
            begun = has_begun => begun.unwrap(),
        }
        all_have_ended(opening.join().unwrap());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let (folder, runner) = runner();
        let missing = folder.path().join("kind");
        let error = runner
            .run(Invocation::new(&missing, Duration::from_secs(5), ["version"]))
            .await
            .unwrap_err();
        assert!(error.to_string().starts_with("cannot start "), "{error}");
        assert!(error.to_string().contains("/kind: "), "{error}");
    }
}
