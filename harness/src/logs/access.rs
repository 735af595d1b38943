//! A line of an access log, text or JSON, in Istio's default formats or with more fields behind or beside them.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::finding::{Connection, View};

/// What matters of a line of an access log. Absent values are absent, however the line writes them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Access {
    pub(super) time: Option<String>,
    /// ` code flags details termination "upstream reason" "downstream reason" "inspector's failure"`: all that patterns are held against.
    pub(super) telling: String,
    pub(super) has_downstream_reason: bool,
    pub(super) duration: i64,
    pub(super) request_id: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) up_host: Option<String>,
    pub(super) up_local: Option<String>,
    pub(super) down_local: Option<String>,
    pub(super) down_remote: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) route: Option<String>,
}

impl Access {
    /// Reads a text line; `None` if it is none of an access log.
    pub(super) fn from_text(line: &str) -> Option<Self> {
        let (time, rest) = line.strip_prefix('[')?.split_once("] \"")?;
        let at = end_of_request(rest)?;
        let rest = &rest[at..];
        let end = end_of_reasons(rest)?;
        let mut access = Self {
            time: present(time),
            telling: rest[..end].to_owned(),
            ..Self::default()
        };
        access.read_tail(&rest[end..]);
        Some(access)
    }

    /// Reads the fields of a JSON line; `None` if they are none of an access log.
    pub(super) fn from_json(map: &Map<String, Value>) -> Option<Self> {
        if !map.contains_key("response_flags") {
            return None;
        }
        let text = |key: &str| map.get(key).and_then(scalar);
        let or_dash = |key: &str| text(key).unwrap_or(Cow::Borrowed("-"));
        let owned = |key: &str| text(key).and_then(|it| present(&it));
        let downstream = owned("downstream_transport_failure_reason");
        Some(Self {
            time: owned("start_time"),
            telling: format!(
                " {} {} {} {} \"{}\" \"{}\" \"{}\"",
                or_dash("response_code"),
                or_dash("response_flags"),
                or_dash("response_code_details"),
                or_dash("connection_termination_details"),
                or_dash("upstream_transport_failure_reason"),
                downstream.as_deref().unwrap_or("-"),
                or_dash("tls_inspector_failure"),
            ),
            has_downstream_reason: downstream.is_some(),
            duration: text("duration").and_then(|it| it.parse().ok()).unwrap_or(0),
            request_id: owned("request_id"),
            cluster: owned("upstream_cluster"),
            up_host: owned("upstream_host"),
            up_local: owned("upstream_local_address"),
            down_local: owned("downstream_local_address"),
            down_remote: owned("downstream_remote_address"),
            server_name: owned("requested_server_name"),
            route: owned("route_name"),
        })
    }

    /// What follows the reasons, read from the end: what stands before may hold anything a client sends.
    fn read_tail(&mut self, tail: &str) {
        self.duration = tail
            .split(' ')
            .filter(|it| !it.is_empty())
            .nth(2)
            .and_then(|it| it.parse().ok())
            .unwrap_or(0);
        let words: Vec<&str> = tail.trim_end().rsplit(' ').take(9).collect();
        let [
            route,
            server_name,
            down_remote,
            down_local,
            up_local,
            cluster,
            up_host,
            _authority,
            request_id,
        ] = words[..]
        else {
            return;
        };
        if up_host.starts_with('"') && is_cluster(cluster) {
            self.route = present(route);
            self.server_name = present(server_name);
            self.down_remote = present(down_remote);
            self.down_local = present(down_local);
            self.up_local = present(up_local);
            self.cluster = present(cluster);
            self.up_host = present(up_host.trim_matches('"'));
            self.request_id = present(request_id.trim_matches('"'));
        } else {
            // Another format: a cluster is known by its bars.
            self.cluster = tail.split(' ').find(|word| word.contains('|')).and_then(present);
        }
    }

    /// The end that wrote the line. A listener's line has no cluster, or tells of its downstream.
    pub(super) fn view(&self) -> View {
        match self.cluster.as_deref() {
            Some(cluster) if cluster.starts_with("inbound") => View::Server,
            Some(_) if self.has_downstream_reason => View::Server,
            Some(_) => View::Client,
            None => View::Server,
        }
    }

    /// Whether the line tells of the way from the server's proxy to its own application.
    pub(super) fn is_behind_the_server(&self) -> bool {
        self.cluster
            .as_deref()
            .is_some_and(|it| it.starts_with("inbound"))
            && self
                .telling
                .split(' ')
                .nth(2)
                .is_some_and(|flags| flags.split(',').any(|flag| matches!(flag, "UF" | "UC" | "URX")))
    }

    /// The Service of an outbound cluster (`outbound|8080|v1|host`) or of the server name that istiod makes of one
    /// (`outbound_.8080_.v1_.host`), as `host:port` and namespace.
    pub(super) fn service(&self) -> Option<(String, Option<String>)> {
        let of = |text: &str, bar: &str| -> Option<(String, Option<String>)> {
            let mut parts = text.splitn(4, bar);
            let (direction, port, _subset, host) =
                (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            if direction != "outbound" || host.is_empty() {
                return None;
            }
            let namespace = host
                .split_once(".svc.")
                .and_then(|(name, _)| name.split_once('.'));
            Some((
                format!("{host}:{port}"),
                namespace.map(|(_, namespace)| namespace.to_owned()),
            ))
        };
        self.cluster
            .as_deref()
            .and_then(|cluster| of(cluster, "|"))
            .or_else(|| self.server_name.as_deref().and_then(|name| of(name, "_.")))
    }

    /// What tells the same connection at the other end.
    pub(super) fn connection(&self, view: View) -> Connection {
        let (client, server) = match view {
            View::Client => (&self.up_local, &self.up_host),
            _ => (&self.down_remote, &self.down_local),
        };
        let began = self
            .time
            .as_deref()
            .and_then(|time| time.parse::<jiff::Timestamp>().ok());
        Connection {
            client: client.clone(),
            server: server.clone(),
            caller: self.down_remote.as_deref().map(|it| host(it).to_owned()),
            began: began.map(jiff::Timestamp::as_millisecond),
            took: self.duration,
        }
    }
}

/// The address without its port.
pub(super) fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// Where the request ends: the first quote that a code follows.
fn end_of_request(rest: &str) -> Option<usize> {
    rest.match_indices("\" ").map(|(at, _)| at + 1).find(|at| {
        let code = rest[at + 1..].split(' ').next().unwrap_or_default();
        (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Where the upstream's failure reason ends: the quoted word after code, flags, details and termination; formats of
/// Istio before 1.9 have a quoted word between.
fn end_of_reasons(rest: &str) -> Option<usize> {
    let quoted = |from: usize| -> Option<usize> {
        let open = from + rest[from..].find('"')?;
        Some(open + 1 + rest[open + 1..].find('"')? + 1)
    };
    let first = quoted(0)?;
    let is_old = rest[..first].split(' ').filter(|it| !it.is_empty()).count() <= 3;
    if is_old { quoted(first) } else { Some(first) }
}

fn is_cluster(word: &str) -> bool {
    word == "-" || word.contains('|') || word.ends_with("Cluster") || word.ends_with("ClusterIpv4")
}

/// The value, unless the line writes that it has none.
pub(super) fn present(text: &str) -> Option<String> {
    (!text.is_empty() && text != "-").then(|| text.to_owned())
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
