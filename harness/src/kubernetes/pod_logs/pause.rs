//! Ever longer pauses between one question and the next.

use std::time::Duration;

/// The first, and the longest; each is twice the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// How often was asked in vain.
#[derive(Default)]
pub(super) struct Pause(Option<Duration>);

impl Pause {
    pub(super) async fn take(&mut self) {
        let (first, longest) = PAUSES;
        let pause = self.0.unwrap_or(first);
        self.0 = Some((pause * 2).min(longest));
        tokio::time::sleep(pause).await;
    }
}
