//! A call without TLS of its own: an application's, or a raw plaintext one.

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout_at};

use super::connect::{Attempt, connect, ended};
use super::exchange::{Answer, Question, ask};
use super::{Dial, DialError};
use crate::probe::evidence::Caller;

/// Makes the call in plaintext and tells what the caller saw.
///
/// # Errors
///
/// Only when this end could not try. Whatever the peer does, or does not do, is in the answer.
pub async fn plaintext(dial: &Dial<'_>) -> Result<Caller, DialError> {
    let question = Question::of(dial)?;
    let deadline = Instant::now() + dial.timeout;
    let stream = match connect(dial, deadline).await? {
        Attempt::Connected(stream) => stream,
        Attempt::Failed(caller) => return Ok(caller),
    };
    let ending = stream.ending();
    let mut answer = Answer::default();
    let asked = async {
        let Some(mut stream) = ask(stream, question, &mut answer).await else {
            return;
        };
        if answer.complete {
            let _ = stream.shutdown().await;
        } else {
            stream.read_to_end().await;
        }
    };
    // A timeout shows as a connection that has not ended.
    let _ = timeout_at(deadline, asked).await;
    let mut caller = Caller {
        ended: (!answer.complete).then(|| ended(ending.get())),
        ..Caller::default()
    };
    answer.fill(&mut caller, dial);
    Ok(caller)
}
