//! Steady load: callers that make one request after the other while the mesh goes from state to state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{CALL_TIMEOUT, GREETING_TIMEOUT};
use crate::call::{Call, Connections, Payload};
use crate::mesh::{MeshError, Requests, Tally};
use crate::probe::DialError;
use crate::probe::dial::{self, Dial};

/// How many requests of a load are under way at a time, each followed by the next.
const CALLERS: usize = 4;
/// How many requests must begin and end while a state is in force.
const ENOUGH: u64 = 12;
/// How long that may take. Measured: 10 ms; the limit is for a stalled machine, and for requests that nobody answers.
const ENOUGH_DEADLINE: Duration = Duration::from_secs(120);

/// Where the requests of one call go.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Way {
    pub(super) address: SocketAddr,
    pub(super) authority: String,
}

impl Way {
    /// The dial of a call that goes this way.
    pub(super) fn dial<'a>(&'a self, payload: Payload, nonce: &'a str) -> Dial<'a> {
        Dial {
            address: self.address,
            authority: &self.authority,
            nonce,
            payload,
            timeout: match payload {
                Payload::ServerFirst => GREETING_TIMEOUT,
                Payload::Http | Payload::Tcp => CALL_TIMEOUT,
            },
        }
    }
}

/// Load on several calls at once. Dropping it ends it.
pub(super) struct Load {
    lanes: Vec<Lane>,
    callers: JoinSet<Result<(), DialError>>,
    now: watch::Sender<Now>,
}

/// The load on one call.
struct Lane {
    call: Call,
    way: watch::Sender<Way>,
    counted: watch::Receiver<Counted>,
}

/// What became of the requests of one call so far.
#[derive(Debug)]
struct Counted {
    tallies: Vec<Tally>,
    /// The last state in which each caller began a request and saw its end.
    seen: Vec<Option<usize>>,
}

/// What is being done to the mesh.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Now {
    state: usize,
    in_force: bool,
    over: bool,
}

impl Load {
    /// Begins with the calls in the first state, which is in force.
    pub(super) fn start(calls: Vec<(Call, Way)>, connections: Connections) -> Self {
        let now = watch::Sender::new(Now {
            state: 0,
            in_force: true,
            over: false,
        });
        let mut callers = JoinSet::new();
        let lanes = calls.into_iter().enumerate().map(|(number, (call, way))| {
            let way = watch::Sender::new(way);
            let callers_of_call = at_a_time(connections);
            let (counted, read) = watch::channel(Counted {
                tallies: vec![Tally::default()],
                seen: vec![None; callers_of_call],
            });
            let counted = Arc::new(counted);
            for caller in 0..callers_of_call {
                callers.spawn(requests(
                    (format!("load-{number}-{caller}"), caller),
                    way.subscribe(),
                    Arc::clone(&counted),
                    now.subscribe(),
                ));
            }
            Lane {
                call,
                way,
                counted: read,
            }
        });
        let lanes = lanes.collect();
        Self { lanes, callers, now }
    }

    /// The mesh begins to change into the next state.
    pub(super) fn change(&self) {
        self.now.send_modify(|now| {
            now.state += 1;
            now.in_force = false;
        });
    }

    /// The next state is in force, and the calls go this way in it.
    pub(super) fn in_force(&self, way: impl Fn(&Call) -> Result<Way, MeshError>) -> Result<(), MeshError> {
        for lane in &self.lanes {
            lane.way.send_replace(way(&lane.call)?);
        }
        self.now.send_modify(|now| now.in_force = true);
        Ok(())
    }

    /// Waits until enough requests of every call began and ended in the state that is in force, and every request that
    /// began before it has ended.
    pub(super) async fn enough(&mut self) -> Result<(), MeshError> {
        let state = self.now.borrow().state;
        let lanes = &mut self.lanes;
        let all = async {
            for lane in lanes {
                let enough = |counted: &Counted| {
                    let tally = counted.tallies.get(state);
                    // Each caller waits for its own request to end.
                    counted.seen.iter().all(|seen| *seen == Some(state))
                        && tally.is_some_and(|tally| tally.in_force.made >= ENOUGH)
                };
                // An error is of callers that have gone; the other branch says why.
                if lane.counted.wait_for(enough).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let ended = tokio::select! {
            done = timeout(ENOUGH_DEADLINE, all) => return done.map_err(|_| MeshError::LoadStalled { within: ENOUGH_DEADLINE }),
            ended = self.callers.join_next() => ended,
        };
        match ended {
            Some(Ok(Err(error))) => Err(error.into()),
            _ => Err(MeshError::Internal("a caller ended before its load".to_owned())),
        }
    }

    /// Lets the requests under way end and makes no more. One tally for each call and state.
    pub(super) async fn end(mut self) -> Result<Vec<(Call, Vec<Tally>)>, MeshError> {
        self.now.send_modify(|now| now.over = true);
        while let Some(ended) = self.callers.join_next().await {
            ended.map_err(|error| MeshError::Internal(error.to_string()))??;
        }
        let states = self.now.borrow().state + 1;
        let lanes = self.lanes.into_iter().map(|lane| {
            let mut tallies = lane.counted.borrow().tallies.clone();
            tallies.resize_with(states, Tally::default);
            (lane.call, tallies)
        });
        Ok(lanes.collect())
    }
}

/// Where connections or sessions are shared there is one, and so requests wait for each other. Several at a time would
/// make as many connections as happen to be needed, and might need one more after a fault than before.
const fn at_a_time(connections: Connections) -> usize {
    match connections {
        Connections::Fresh => CALLERS,
        Connections::Resume | Connections::Reuse => 1,
    }
}

/// Makes one request after the other until the load is over.
async fn requests(
    (name, caller_number): (String, usize),
    way: watch::Receiver<Way>,
    counted: Arc<watch::Sender<Counted>>,
    now: watch::Receiver<Now>,
) -> Result<(), DialError> {
    for number in 0_u64.. {
        let began = *now.borrow();
        if began.over {
            break;
        }
        let (nonce, to) = (format!("{name}-{number}"), way.borrow().clone());
        let caller = dial::plaintext(&to.dial(Payload::Http, &nonce)).await?;
        let ended = *now.borrow();
        counted.send_modify(|counted| {
            let is_rid = counted.seen[caller_number] == Some(ended.state);
            group(&mut counted.tallies, began, ended, is_rid).count(caller);
            if held_throughout(began, ended) {
                counted.seen[caller_number] = Some(ended.state);
            }
        });
    }
    Ok(())
}

/// Where a request counts: a change that came in between may have moved it. So may a connection from before, if the
/// caller is not rid of those.
///
/// When one connection of a pool fails, Envoy fails every request that waits for one
/// (`ConnPoolImplBase::purgePendingStreams`). Connections that were being made for these come up, wait, and are taken
/// by requests that come later. There are no more of them than callers, and Envoy prefers them to new ones, so
/// the first request that each caller begins in a state may be about the state before.
fn group(tallies: &mut Vec<Tally>, began: Now, ended: Now, is_rid_of_the_old: bool) -> &mut Requests {
    if tallies.len() <= ended.state {
        tallies.resize_with(ended.state + 1, Tally::default);
    }
    let tally = &mut tallies[ended.state];
    if is_rid_of_the_old && held_throughout(began, ended) {
        &mut tally.in_force
    } else {
        &mut tally.changing
    }
}

/// Whether one state was in force from the beginning of a request to its end.
fn held_throughout(began: Now, ended: Now) -> bool {
    began.state == ended.state && began.in_force && ended.in_force
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::evidence::Caller;

    #[test]
    fn a_request_counts_for_a_state_only_if_nothing_of_another_took_part() {
        let now = |state, in_force| Now {
            state,
            in_force,
            over: false,
        };
        let mut tallies = vec![Tally::default()];
        for (began, ended, is_rid) in [
            (now(0, true), now(0, true), true),
            (now(0, true), now(1, false), true),
            (now(1, false), now(1, true), true),
            (now(1, true), now(1, true), false),
            (now(1, true), now(1, true), true),
            (now(1, true), now(2, true), true),
        ] {
            group(&mut tallies, began, ended, is_rid).count(Caller::default());
        }
        let made: Vec<_> = tallies
            .iter()
            .map(|tally| (tally.changing.made, tally.in_force.made))
            .collect();
        assert_eq!(made, [(0, 1), (3, 1), (1, 0)]);
    }
}
