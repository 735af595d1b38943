//! The mesh of a phase as a picture: who calls whom, and what became of it.

use std::collections::{BTreeMap, BTreeSet};

use super::page::tone;
use crate::mesh::Component;
use crate::report::text::expected;
use crate::scenario::verdict::{CallResult, PhaseResult, Verdict};

/// Pixels: a line of text with the space around it, the width of a caller, where the called begin, and the whole.
const LINE: usize = 20;
const BOX: usize = 220;
const RIGHT: usize = 360;
const WIDTH: usize = 860;

/// What to draw. Units are pixels.
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) box_width: usize,
    pub(super) right: usize,
    pub(super) callers: Vec<Node>,
    pub(super) servers: Vec<Node>,
    pub(super) calls: Vec<Line>,
    pub(super) policies: Vec<Label>,
}

/// A workload, or what was called by name.
pub(super) struct Node {
    pub(super) y: usize,
    pub(super) height: usize,
    pub(super) name: String,
    /// The releases of its sidecars; empty where none is known.
    pub(super) sidecar: String,
}

/// A call.
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) tone: &'static str,
    pub(super) falsified: bool,
    pub(super) text: String,
}

pub(super) struct Label {
    pub(super) y: usize,
    pub(super) text: String,
}

/// Draws the calls of a phase; nothing where it makes none. Callers stand left, each beside the middle of its calls;
/// what is called stands right, with a line for each call.
pub(super) fn picture(phase: &PhaseResult, components: &[Component]) -> Option<Picture> {
    let mut by_server: BTreeMap<String, Vec<(String, &CallResult)>> = BTreeMap::new();
    for call in &phase.calls {
        let (server, port) = called(call);
        by_server.entry(server).or_default().push((port, call));
    }
    let mut y = LINE;
    let (mut servers, mut lines) = (Vec::new(), Vec::new());
    for (name, calls) in by_server {
        let height = (calls.len() + 1) * LINE + LINE / 2;
        for (index, (port, call)) in calls.into_iter().enumerate() {
            lines.push((
                call.from.as_str(),
                line(call, &port, y + (index + 1) * LINE + LINE / 2),
            ));
        }
        servers.push(Node::new(y, height, name, components));
        y += height + LINE;
    }
    let (callers, lowest) = callers(&lines, components);
    let middles: BTreeMap<&str, usize> = callers
        .iter()
        .map(|caller| (caller.name.as_str(), caller.y + caller.height / 2))
        .collect();
    let calls: Vec<Line> = lines
        .into_iter()
        .map(|(from, line)| Line {
            from: middles.get(from).copied().unwrap_or(line.to),
            ..line
        })
        .collect();
    let below = y.max(lowest);
    let policies = phase.policies.iter().enumerate();
    let policies: Vec<Label> = policies
        .map(|(index, policy)| Label {
            y: below + (index + 1) * LINE,
            text: format!("policy: {policy}"),
        })
        .collect();
    (!calls.is_empty()).then(|| Picture {
        width: WIDTH,
        box_width: BOX,
        right: RIGHT,
        height: below + (policies.len() + 1) * LINE,
        callers,
        servers,
        calls,
        policies,
    })
}

/// The callers from top to bottom, none over another, and where the last one ends.
fn callers(lines: &[(&str, Line)], components: &[Component]) -> (Vec<Node>, usize) {
    let mut ends: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (from, line) in lines {
        ends.entry(from).or_default().push(line.to);
    }
    let mut order: Vec<(usize, &str)> = ends
        .into_iter()
        .map(|(name, ends)| (ends.iter().sum::<usize>() / ends.len().max(1), name))
        .collect();
    order.sort_unstable();
    let mut free = LINE;
    let mut nodes = Vec::new();
    for (middle, name) in order {
        let y = middle.saturating_sub(LINE).max(free);
        let node = Node::new(y, 2 * LINE + LINE / 2, name.to_owned(), components);
        free = node.y + node.height + LINE;
        nodes.push(node);
    }
    (nodes, free)
}

impl Node {
    fn new(y: usize, height: usize, name: String, components: &[Component]) -> Self {
        let its = components.iter().filter(|it| it.workload == name);
        let releases: BTreeSet<String> = its.map(|it| it.istio.to_string()).collect();
        let releases = Vec::from_iter(releases).join(", ");
        Self {
            y,
            height,
            sidecar: match releases.as_str() {
                "" => String::new(),
                known => format!("sidecar: Istio {known}"),
            },
            name,
        }
    }
}

fn line(call: &CallResult, port: &str, to: usize) -> Line {
    let expected = expected(&call.expected);
    let text = match &call.observed {
        Some(observed) if call.expected.holds_for(observed) => format!("{port}  {observed}, as expected"),
        Some(observed) => format!("\u{2717} {port}  {observed}, expected {expected}"),
        None => format!("{port}  not made, expected {expected}"),
    };
    Line {
        from: 0,
        to,
        tone: tone(call.observed.as_ref()),
        falsified: call.verdict == Verdict::Falsified,
        text,
    }
}

/// What is called, as `namespace/name`, and the port with all that the call's id adds to it. Ids are written by
/// `scenario/expand.rs`: `scenario::phase::caller->namespace/name:port@pod#kind`.
fn called(call: &CallResult) -> (String, String) {
    let target = call
        .id
        .rsplit_once("->")
        .map_or(call.to.as_str(), |(_, target)| target);
    match target.rsplit_once(':') {
        Some((name, port)) => (name.to_owned(), format!(":{port}")),
        None => (target.to_owned(), String::new()),
    }
}
