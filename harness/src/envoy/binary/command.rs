//! Running an external command within a time limit.

use std::io;
use std::process::Output;
use std::time::{Duration, Instant};

/// How often a running command is looked after.
const TICK: Duration = Duration::from_millis(100);

/// Why a command gave no output.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// It could not be started, or not be waited for.
    Io(io::Error),
    /// It ran into its limit and was killed.
    Stalled,
    /// The caller wanted no more of it, and it was killed.
    Interrupted,
}

/// Runs a command to its end, at most for `limit`. `tick` is called several times a second; when it answers false,
/// the command is killed.
pub(super) fn run(
    command: &duct::Expression,
    limit: Duration,
    mut tick: impl FnMut() -> bool,
) -> Result<Output, Unfinished> {
    let deadline = Instant::now() + limit;
    let handle = start(command).map_err(Unfinished::Io)?;
    loop {
        if let Some(output) = handle.wait_timeout(TICK).map_err(Unfinished::Io)? {
            return Ok(output.clone());
        }
        let unfinished = match (tick(), Instant::now() < deadline) {
            (true, true) => continue,
            (true, false) => Unfinished::Stalled,
            (false, _) => Unfinished::Interrupted,
        };
        handle.kill().map_err(Unfinished::Io)?;
        // Reaps it. Bounded, because a grandchild that holds its output open would keep us waiting.
        let _ = handle.wait_timeout(Duration::from_secs(1));
        return Err(unfinished);
    }
}

/// Starts a command. A file that was just written counts as busy for as long as a child that another thread is
/// starting holds the descriptor it was written through: until that child calls exec.
fn start(command: &duct::Expression) -> io::Result<duct::Handle> {
    let mut patience = 50;
    loop {
        match command.start() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && patience > 0 => {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            started => return started,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_stalls_is_killed() {
        let began = Instant::now();
        let stalled = run(&duct::cmd!("sleep", "60"), Duration::from_millis(1), || true);
        assert!(matches!(stalled, Err(Unfinished::Stalled)), "{stalled:?}");
        let interrupted = run(&duct::cmd!("sleep", "60"), Duration::from_secs(60), || false);
        assert!(
            matches!(interrupted, Err(Unfinished::Interrupted)),
            "{interrupted:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
