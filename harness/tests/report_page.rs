//! The page of a report in a real browser. Where there is no Chromium the test says that it was not run.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use meshproof::report::board::{Board, page};
use meshproof::report::{Run, compare};

/// Twenty times what it takes on two busy cores.
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let chromium = chromium();
    let missing = chromium.is_none();
    let name = if missing {
        "the_page_works_in_chromium (not run: there is no chromium in PATH)"
    } else {
        "the_page_works_in_chromium"
    };
    let test = Trial::test(name, move || {
        let chromium = chromium.ok_or("there is no chromium in PATH")?;
        works(&chromium).map_err(Into::into)
    });
    libtest_mimic::run(&Arguments::from_args(), vec![test.with_ignored_flag(missing)]).exit();
}

/// Scripts ran, nothing was complained about, what the page names in its own links is there, and everybody can read and
/// use it: in the light, in the dark, in a narrow window, and without scripts.
fn works(chromium: &Path) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let (before, after) = (run("mtls", "held"), run("plaintext", "falsified"));
    let comparison = compare(&before.results, &after.results);
    let board = Board::sided([(Some("before"), &before), (Some("after"), &after)]);
    let page = page(&board, Some(&comparison)).unwrap();
    let audit = include_str!("data/report-audit.js");
    std::fs::write(
        &file,
        page.replace("</body>", &format!("<script>{audit}</script></body>")),
    )
    .unwrap();
    for (scheme, flag) in [
        ("light", "--blink-settings=preferredColorScheme=1"),
        ("dark", "--blink-settings=preferredColorScheme=0"),
    ] {
        let dom = open(
            chromium,
            folder.path(),
            &format!("file://{}#skew", file.display()),
            flag,
        )?;
        if !dom.contains("2 of 2 scenarios") {
            return Err(format!("the filter has not counted:\n{dom}"));
        }
        links_lead_somewhere(&dom)?;
        let found = dom.split("<pre id=\"audit\">").nth(1);
        let found = found
            .and_then(|it| it.split("</pre>").next())
            .unwrap_or("no audit");
        if found.trim_end() != format!("{scheme}, seen, 0 found") {
            return Err(format!("{scheme}: {found}"));
        }
    }
    // Chromium shows no document where its scripts are off altogether, so they are taken out of the page.
    let script = regex::Regex::new("(?s)<script>.*?</script>").unwrap();
    std::fs::write(&file, script.replace_all(&page, "").as_ref()).unwrap();
    let url = format!("file://{}", file.display());
    let dom = open(
        chromium,
        folder.path(),
        &url,
        "--blink-settings=preferredColorScheme=1",
    )?;
    for (what, text) in [
        ("the filter is not offered", "<form class=\"filter\" hidden"),
        ("a cell", "falsified</td>"),
        ("evidence", "<summary>Evidence</summary>"),
        ("what differs", "1 different"),
    ] {
        if !dom.contains(text) {
            return Err(format!("without scripts: {what}:\n{dom}"));
        }
    }
    Ok(())
}

/// What the page is once its scripts have run. Whatever the console says is an error.
fn open(chromium: &Path, folder: &Path, url: &str, flag: &str) -> Result<String, String> {
    let browser = duct::cmd!(
        chromium,
        "--headless=new",
        // Containers of CI run as root, where Chromium has no sandbox. The page is our own.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        "--v=0",
        // As narrow as a window of Chromium can be.
        "--window-size=500,900",
        format!("--user-data-dir={}", folder.join("profile").display()),
        "--virtual-time-budget=2000",
        flag,
        "--dump-dom",
        url
    )
    .stdout_capture()
    .stderr_capture()
    .unchecked()
    .start()
    .unwrap();
    let Some(output) = browser.wait_timeout(LIMIT).unwrap() else {
        browser.kill().unwrap();
        return Err(format!("Chromium did not end in {LIMIT:?}"));
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    if !console.is_empty() {
        return Err(format!("the console says {console:#?}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn links_lead_somewhere(dom: &str) -> Result<(), String> {
    let link = regex::Regex::new("href=\"#([^\"]+)\"").unwrap();
    for found in link.captures_iter(dom) {
        if !dom.contains(&format!("id=\"{}\"", &found[1])) {
            return Err(format!("nothing has the id {}", &found[1]));
        }
    }
    Ok(())
}

fn run(observed: &str, verdict: &str) -> Run {
    let outcome = r#"{"outcome":"mtls"}"#;
    let observed = format!(r#"{{"outcome":"{observed}"}}"#);
    let lines = [
        format!(
            r#"{{"scenario":"skew","tier":"local","verdict":"{verdict}","components":[],"millis":1.0,"reproduce":"cargo xtask scenario skew",
               "phases":[{{"name":"control","verdict":"{verdict}","faults":[],"policies":["PeerAuthentication/a/strict"],"millis":1.0,"calls":[{{"id":"skew::control::a/b->a/c:1",
               "from":"a/b","to":"c.a:1","call":"app","expected":{outcome},"predicted":{outcome},"observed":{observed},
               "verdict":"{verdict}","millis":1.0,"location":"scenarios/skew.yaml:1","evidence":{{}}}}]}}]}}"#
        ),
        r#"{"scenario":"beyond","tier":"kind","verdict":"not-run","reason":"no Docker","components":[],"phases":[],
           "millis":0.0,"reproduce":"cargo xtask scenario beyond"}"#
            .to_owned(),
    ];
    Run {
        results: lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
        provenance: None,
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|file| file.is_file())
}
