//! The page of a report in a real browser. Where there is no Chromium the test says that it was not run.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::path::PathBuf;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use meshproof::report::Run;
use meshproof::report::board::{Board, page};

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

/// Scripts ran, nothing was complained about, and what the page names in its own links is there.
fn works(chromium: &PathBuf) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    std::fs::write(&file, page(&Board::of([&run()]), None).unwrap()).unwrap();
    let browser = duct::cmd!(
        chromium,
        "--headless=new",
        // Containers of CI run as root, where Chromium has no sandbox. The page is our own.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--enable-logging=stderr",
        "--v=0",
        format!("--user-data-dir={}", folder.path().join("profile").display()),
        "--virtual-time-budget=2000",
        "--dump-dom",
        format!("file://{}#skew", file.display())
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
    let dom = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    if !console.is_empty() {
        return Err(format!("the console says {console:#?}"));
    }
    if !dom.contains("2 of 2 scenarios") {
        return Err(format!("the filter has not counted: {said}\n{dom}"));
    }
    let link = regex::Regex::new("href=\"#([^\"]+)\"").unwrap();
    for found in link.captures_iter(&dom) {
        if !dom.contains(&format!("id=\"{}\"", &found[1])) {
            return Err(format!("nothing has the id {}", &found[1]));
        }
    }
    Ok(())
}

fn run() -> Run {
    let outcome = r#"{"outcome":"mtls"}"#;
    let lines = [
        format!(
            r#"{{"scenario":"skew","tier":"local","verdict":"held","components":[],"millis":1.0,"reproduce":"cargo xtask scenario skew",
               "phases":[{{"name":"control","verdict":"held","faults":[],"millis":1.0,"calls":[{{"id":"skew::control::a/b->a/c:1",
               "from":"a/b","to":"c.a:1","call":"app","expected":{outcome},"predicted":{outcome},"observed":{outcome},
               "verdict":"held","millis":1.0,"location":"scenarios/skew.yaml:1","evidence":{{}}}}]}}]}}"#
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
