//! What Istio shows by default, and how to have it show the rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use meshproof::logs::{Pattern, Patterns, Shown};

/// The text, from the patterns: what each end shows as installed, and what it takes to see the others.
pub(super) fn explain(patterns: &Patterns) -> String {
    let mut text = "\
Istio hides most of what proxies know about failed mTLS:
  access logs are off unless meshConfig.accessLogFile or a Telemetry turns them on;
  the inbound listener's access log is filtered to NR, so a refused handshake writes no line at the server;
  ssl.* statistics are not exported.

manifests/visibility/ turns on just what is needed:
  telemetry.yaml            access logs of failing requests and of the NR listener log
  envoyfilter.yaml          a listener access log with the transport's failure reason, one line per connection
  mesh-config.yaml          the ssl.* and no_filter_chain_match statistics
The listener log writes a line per inbound connection (some 420 bytes), and healthy requests on it write none, where
meshConfig.accessLogFile has a line of some 330 bytes written for every request at either end. Processor time of the
proxies did not differ beyond the noise (`bench visibility` measures it on your machine). The statistics add a handful of
series per cluster and listener. The manifests have not been applied to a cluster.

"
    .to_owned();
    let mut by_need: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for pattern in patterns.all() {
        for (end, shown) in &pattern.visibility {
            by_need.entry(need(*shown)).or_default().push(named(pattern, end));
        }
    }
    for (need, mut names) in by_need {
        names.sort();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{need}: {}\n", names.join(", "));
    }
    text
}

fn named(pattern: &Pattern, end: &str) -> String {
    match end {
        "log" => pattern.id.clone(),
        end => format!("{} ({end})", pattern.id),
    }
}

const fn need(shown: Shown) -> &'static str {
    match shown {
        Shown::Default => "Shown as installed, once access logs are on",
        Shown::Custom => "Shown with envoyfilter.yaml",
        Shown::Debug => {
            "Shown by the debug log only (istioctl proxy-config log POD --level connection:debug)"
        }
        Shown::Application => "Shown in the caller's own log",
        Shown::Event => "Shown as an event (kubectl get events)",
    }
}
