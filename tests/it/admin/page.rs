//! The page for people, as text and in a real browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{Served, resource, view};

/// A name that is markup, closes what it stands in, and writes from right to left.
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{202e}\u{1b}[31m\n</td>";

/// Everything on the page that somebody else wrote is hostile.
fn hostile() -> Served {
    let served = Served::full();
    let mut view = view();
    let text = || HOSTILE.to_owned();
    (view.mode, view.root, view.schedule) = (text(), text(), text());
    view.commands = vec![text()];
    (view.orphans[0].name, view.orphans[0].reason) = (text(), text());
    view.quarantine[0].name = text();
    (view.sweeps[0].id, view.sweeps[0].result, view.sweeps[0].held) = (text(), text(), Some(text()));
    let status = &mut view.status;
    for condition in &mut status.conditions {
        (condition.type_, condition.status) = (text(), text());
        (condition.reason, condition.message) = (text(), text());
    }
    let hold = status.hold.as_mut().unwrap();
    (hold.reason, hold.message) = (text(), text());
    status.quarantine.as_mut().unwrap().size = Some(text());
    status.budget.as_mut().unwrap().size_left = Some(text());
    status.reclaimed.as_mut().unwrap().size = Some(text());
    served.board.publish(view);
    served.board.fault(Some(text()));
    served
}

#[test]
fn it_shows_what_holds_and_the_commands_that_unblock_it() {
    let page = Served::full().get("/");
    assert_eq!((page.status(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("refresh"), Some("30"));
    for shown in [
        "collab/workspaces",
        "Held by a Breaker: TooManyOrphans",
        "hygiene approve -f spec.yaml 3f2a9c0e",
        "hygiene dismiss -f spec.yaml 3f2a9c0e",
        "DeletionAllowed",
        "every 15m",
        ">3d8h ago</time>",
        "768.0 MiB",
        "1.5 GiB",
        ">in 5d17h</time>",
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
}

#[test]
fn what_others_wrote_is_never_markup() {
    let page = hostile().get("/");
    let (body, policy) = (&page.body, page.header("content-security-policy").unwrap());
    assert!(
        !body.contains("<script") && body.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"),
        "{body}"
    );
    assert!(!body.contains('\u{1b}') && !body.contains("[31m\n"), "{body}");
    assert_eq!(body.matches("<td").count(), body.matches("</td>").count());
    let wanted = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    assert_eq!(policy, wanted);
    for active in [" style=", " onload", "<form", "<input", "<button", "javascript:", "http://", "https://"] {
        assert!(!body.contains(active), "{active}: {body}");
    }
}

#[test]
fn with_nothing_to_show_there_is_a_page() {
    let page = Served::new().get("/");
    assert!(
        page.body.contains("starting") && page.body.contains("No resource has been looked at yet"),
        "{}",
        page.body
    );
}

/// The browser, run once: on this page, in a profile of its own, in this window, light or dark.
fn browser(dir: &Path, size: &str, dark: bool, more: &[&str]) -> String {
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-lcd-text",
        "--no-first-run",
        "--disable-sync",
    ]);
    chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]);
    chromium.arg(format!("--user-data-dir={}", dir.join("profile").display())).arg(format!("--window-size={size}"));
    chromium.arg("--virtual-time-budget=5000");
    if dark {
        chromium.arg("--blink-settings=preferredColorScheme=0");
    }
    let output = chromium.args(more).output().expect("chromium: scripts/setup installs it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The file that judges, where `scripts/setup` puts it.
fn axe() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
    let file = cache.join("workspace-hygiene/axe-core-4.14.1/axe.min.js");
    assert!(file.is_file(), "{} is missing: scripts/setup fetches it", file.display());
    file
}

/// What axe-core finds on a copy of the page, since the page itself lets no script run; and whether it is wider than the window.
fn judged(served: &Served, width: u32, dark: bool) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let page = served.get("/").body;
    let style = format!("<style>{}</style>", served.get("/style.css").body);
    let link = "<link rel=\"stylesheet\" href=\"style.css\">";
    assert!(page.contains(link));
    let inner = format!(
        "{}<script src=\"file://{}\"></script><script>axe.run().then(found => {{ const root = document.documentElement; \
         parent.postMessage(JSON.stringify({{passes: found.passes.length, wide: root.scrollWidth > {width}, \
         width: innerWidth, dark: matchMedia('(prefers-color-scheme: dark)').matches, violations: found.violations.map(v => \
         v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join('; '))}}), '*'); }});</script>",
        page.replace(link, &style),
        axe().display(),
    );
    // A window has a least width that is more than a phone's; a frame has none.
    let outer = format!(
        "<!doctype html><html lang=\"en\"><title>frame</title><body style=\"margin:0\"><iframe src=\"inner.html\" width=\"{width}\" \
         height=\"900\" style=\"border:0\"></iframe><script>addEventListener('message', e => {{ const p = document.createElement('pre'); \
         p.textContent = e.data; document.body.append(p); }});</script>"
    );
    std::fs::write(dir.path().join("inner.html"), inner).unwrap();
    let file = dir.path().join("outer.html");
    std::fs::write(&file, outer).unwrap();
    let url = format!("file://{}", file.display());
    let dom = browser(dir.path(), "1400,1000", dark, &["--allow-file-access-from-files", "--dump-dom", &url]);
    let found = dom.split_once("<pre>").unwrap_or_else(|| panic!("no answer: {dom}")).1.split_once("</pre>").unwrap().0;
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    serde_json::from_str(&found).unwrap_or_else(|e| panic!("{e}: {found}"))
}

#[test]
fn axe_core_finds_nothing_at_any_width_in_light_and_dark() {
    for served in [Served::full(), hostile(), Served::new()] {
        for (width, dark) in [(1280, false), (1280, true), (360, false), (360, true)] {
            let found = judged(&served, width, dark);
            assert_eq!(found["violations"], Value::Array(Vec::new()), "{width} {dark}");
            assert!(found["passes"].as_u64().unwrap() > 10, "{found}");
            assert_eq!((&found["width"], &found["dark"], &found["wide"]), (&width.into(), &dark.into(), &false.into()));
        }
    }
}

/// As people see it: over HTTP, with its policy in force. `HYGIENE_SCREENSHOTS=docs` keeps the pictures.
#[test]
fn it_is_drawn_at_desktop_and_phone_width() {
    let served = Served::full();
    assert_eq!(served.board.views()[0].name, resource().name);
    let dir = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("HYGIENE_SCREENSHOTS").map(PathBuf::from);
    for (name, size) in [("desktop", "1180,1130"), ("phone", "390,1500")] {
        let file = kept.as_deref().unwrap_or(dir.path()).join(format!("status-page-{name}.png"));
        browser(dir.path(), size, false, &[&format!("--screenshot={}", file.display()), &served.url("/")]);
        assert!(std::fs::metadata(&file).unwrap().len() > 10_000, "{name}: an empty picture");
    }
}
