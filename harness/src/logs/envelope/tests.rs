use super::*;

const LINE: &str = r#"[2026-11-22T04:49:58.658Z] "- - -" 0 NR filter_chain_not_found"#;

#[test]
fn a_line_is_found_in_every_wrapping() {
    let quoted = serde_json::to_string(LINE).unwrap();
    let cases = [
        (LINE.to_owned(), None, None),
        (
            format!("[pod/payment-7d4/istio-proxy] {LINE}"),
            Some("payment-7d4"),
            None,
        ),
        (
            format!("[pod/payment-7d4/istio-proxy] 2026-11-22T04:49:58.7Z {LINE}"),
            Some("payment-7d4"),
            None,
        ),
        (
            format!("2026-11-22T04:49:58.700000001Z stdout F {LINE}"),
            None,
            None,
        ),
        (
            format!("payment-7d4 istio-proxy {LINE}"),
            Some("payment-7d4"),
            None,
        ),
        (
            format!("payments payment-7d4 istio-proxy {LINE}"),
            Some("payment-7d4"),
            Some("payments"),
        ),
        (
            format!("\u{1b}[36mpayment-7d4\u{1b}[0m \u{1b}[95mistio-proxy\u{1b}[0m {LINE}"),
            Some("payment-7d4"),
            None,
        ),
        (
            format!("{{\"log\":{quoted},\"stream\":\"stdout\",\"time\":\"2026-11-22T04:49:58Z\"}}"),
            None,
            None,
        ),
        (
            format!(
                "{{\"message\":{quoted},\"namespace\":\"payments\",\"podName\":\"payment-7d4\",\"containerName\":\"istio-proxy\"}}"
            ),
            Some("payment-7d4"),
            Some("payments"),
        ),
    ];
    for (line, pod, namespace) in cases {
        let (origin, inner) = unwrap(&line);
        let Inner::Text(text) = inner else {
            panic!("{line}")
        };
        assert_eq!(text, LINE, "{line}");
        assert_eq!(
            (origin.pod.as_deref(), origin.namespace.as_deref()),
            (pod, namespace),
            "{line}"
        );
    }
}

#[test]
fn what_is_no_wrapping_stays() {
    for line in [
        "",
        " ",
        "payment failed with an error",
        "{not json",
        "\u{1b}[",
        "2026",
        "[pod/",
    ] {
        let (origin, inner) = unwrap(line);
        assert!(matches!(inner, Inner::Text(_)), "{line}");
        assert_eq!(origin, Origin::default(), "{line}");
    }
}
