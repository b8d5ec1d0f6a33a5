//! What each answer means.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use rstest::rstest;
use workspace_hygiene::observe::Health;

use super::server::{Server, answer, hang};
use super::{look, run, world_with, wrong};

/// The longest lag that these specs accept.
const LAG: &str = ", maxEventLoopLag: 1s";
/// What must never be repeated.
const CANARY: &str = "canary-of-the-body";

#[rstest]
#[case("200 OK", "fine")]
#[case("200 OK", "")]
#[case("299 Odd", "{\"event_loop_lag_ms\": 1e9}")]
fn any_2xx_is_healthy(#[case] status: &str, #[case] body: &str) {
    let server = Server::writing(answer(status, "", body));
    assert_eq!(look(&server.url(), ""), Health::Healthy);
}

#[test]
fn an_answer_without_content_is_healthy() {
    let server = Server::writing("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(look(&server.url(), ""), Health::Healthy);
    let lag = wrong(&server.url(), LAG);
    assert!(lag.starts_with("answers with something else than a JSON object"), "{lag}");
}

#[rstest]
#[case("500 Internal Server Error", "answers 500")]
#[case("503 Service Unavailable", "answers 503")]
#[case("404 Not Found", "answers 404")]
#[case("999 Odd", "answers 999")]
fn any_other_status_is_unhealthy(#[case] status: &str, #[case] told: &str) {
    let server = Server::writing(answer(status, "", CANARY));
    assert_eq!(wrong(&server.url(), ""), told);
}

#[rstest]
#[case("301 Moved Permanently")]
#[case("302 Found")]
#[case("307 Temporary Redirect")]
fn a_redirect_is_never_followed(#[case] status: &str) {
    let target = Server::well();
    let server = Server::writing(answer(status, &format!("Location: {}\r\n", target.url()), ""));
    let told = format!("answers {} and redirects are not followed; give the address it leads to", &status[..3]);
    assert_eq!(wrong(&server.url(), ""), told);
    assert_eq!((server.requests().len(), target.requests().len()), (1, 0));
}

#[test]
fn an_endpoint_that_hangs_is_unhealthy_once_its_time_is_over() {
    let server = Server::with(|stream, _| hang(stream));
    assert_eq!(wrong(&server.url(), ", timeout: 300ms"), "gave no whole answer within 300ms");
}

#[test]
fn so_is_one_whose_body_comes_drop_by_drop() {
    let server = Server::with(|stream, _| {
        let head = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        let mut drop_by_drop = head;
        while drop_by_drop.is_ok() {
            std::thread::sleep(Duration::from_millis(20));
            drop_by_drop = stream.write_all(b"x");
        }
    });
    for more in [", timeout: 300ms", ", timeout: 300ms, maxEventLoopLag: 1s"] {
        assert_eq!(wrong(&server.url(), more), "gave no whole answer within 300ms");
    }
}

#[test]
fn of_a_huge_body_only_the_beginning_is_read() {
    let server = Server::with(|stream, _| {
        let head = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n{");
        let spaces = [b' '; 10_000];
        let mut written = head;
        // An endless body could not be read to its end in any time.
        while written.is_ok() {
            written = stream.write_all(&spaces);
        }
    });
    assert_eq!(look(&server.url(), ", timeout: 10s"), Health::Healthy);
    assert_eq!(
        wrong(&server.url(), ", timeout: 10s, maxEventLoopLag: 1s"),
        "answers with more than 64 KiB, so its event_loop_lag_ms is not read"
    );
}

#[test]
fn an_answer_that_breaks_off_is_unhealthy() {
    for text in ["HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nContent-", ""] {
        let server = Server::writing(text);
        let told = wrong(&server.url(), "");
        assert!(
            told == "closed the connection in the middle of its answer" || told == "broke off the exchange",
            "{told}"
        );
    }
}

#[test]
fn what_is_no_http_is_unhealthy() {
    let server = Server::writing(format!("SSH-2.0-{CANARY}\r\n\r\n"));
    assert_eq!(wrong(&server.url(), ""), "does not answer in HTTP");
}

#[test]
fn a_head_without_end_is_not_read_to_its_end() {
    let server = Server::with(|stream, _| {
        let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while written.is_ok() {
            written = stream.write_all(&[b'x'; 10_000]);
        }
    });
    let told = wrong(&server.url(), ", timeout: 10s");
    assert!(told == "does not answer in HTTP" || told == "broke off the exchange", "{told}");
}

#[test]
fn nobody_listening_is_unhealthy() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let told = wrong(&format!("http://127.0.0.1:{port}/healthz"), "");
    assert!(told.starts_with("cannot be reached: Connection refused"), "{told}");
}

#[test]
fn a_host_that_is_not_known_is_unhealthy() {
    // RFC 6761: a name below .invalid is never known.
    let told = wrong("http://collab.invalid/healthz", ", timeout: 10s");
    assert!(told.starts_with("cannot be reached: ") || told.starts_with("gave no whole answer"), "{told}");
}

#[rstest]
#[case(r#"{"status": "ok", "event_loop_lag_ms": 0}"#)]
#[case(r#"{"event_loop_lag_ms": 999.5}"#)]
#[case(r#"{"event_loop_lag_ms": 1000}"#)]
fn a_lag_that_is_short_enough_is_healthy(#[case] body: &str) {
    let server = Server::writing(answer("200 OK", "", body));
    assert_eq!(look(&server.url(), LAG), Health::Healthy);
}

#[rstest]
#[case(r#"{"event_loop_lag_ms": 1001}"#, "has an event_loop_lag_ms of 1001, and maxEventLoopLag is 1s")]
#[case(r#"{"event_loop_lag_ms": 1e300}"#, "has an event_loop_lag_ms of 1000000000000, and maxEventLoopLag is 1s")]
#[case(r#"{"status": "ok"}"#, "answers without event_loop_lag_ms")]
#[case(r#"{"event_loop_lag_ms": null}"#, "answers without event_loop_lag_ms")]
#[case(r#"{"event_loop_lag_ms": -1}"#, "has an event_loop_lag_ms that is no number from 0 up")]
#[case(r#"{"event_loop_lag_ms": "0"}"#, "has an event_loop_lag_ms that is no number from 0 up")]
#[case(r#"{"event_loop_lag_ms": 1e999}"#, NO_JSON)]
#[case(r#"{"event_loop_lag_ms": 1, "event_loop_lag_ms": 2000}"#, NO_JSON)]
#[case(r#"{"event_loop_lag_ms": 1"#, NO_JSON)]
#[case("[1]", NO_JSON)]
#[case("fine", NO_JSON)]
#[case("", NO_JSON)]
fn a_lag_that_is_too_long_or_not_known_is_unhealthy(#[case] body: &str, #[case] told: &str) {
    let server = Server::writing(answer("200 OK", "", body));
    assert_eq!(wrong(&server.url(), LAG), told);
}

const NO_JSON: &str = "answers with something else than a JSON object, so its event_loop_lag_ms is not known";

#[test]
fn a_bad_status_comes_before_a_good_lag() {
    let server = Server::writing(answer("503 Stalled", "", r#"{"event_loop_lag_ms": 0}"#));
    assert_eq!(wrong(&server.url(), LAG), "answers 503");
}

#[test]
fn each_look_is_a_connection_of_its_own_that_asks_for_no_old_answer() {
    let server = Server::well();
    look(&format!("{}?deep=1", server.url()), "");
    look(&server.url(), "");
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{}", requests[0]);
    let head = requests[0].to_ascii_lowercase();
    for line in [
        &format!("host: 127.0.0.1:{}", server.port),
        concat!("user-agent: hygiene/", env!("CARGO_PKG_VERSION")),
        "cache-control: no-cache",
        "connection: close",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
    assert!(!head.contains("cookie") && !head.contains("accept-encoding") && !head.contains("authorization"), "{head}");
}

#[test]
fn nothing_the_endpoint_writes_gets_into_a_report_or_a_log() {
    let json = format!(r#"{{"event_loop_lag_ms": "{CANARY}"}}"#);
    let mut answers = String::new();
    for text in [
        answer(&format!("500 {CANARY}"), &format!("X-Why: {CANARY}\r\n"), CANARY),
        answer("302 Found", &format!("Location: http://{CANARY}/\r\n"), CANARY),
        answer("200 OK", "", CANARY),
        answer("200 OK", "", &json),
        format!("{CANARY}\r\n\r\n"),
    ] {
        let server = Server::writing(text);
        let url = format!("{}?token={CANARY}", server.url());
        let world = world_with(1, &url, LAG, ", settle: 0s");
        for output in ["table", "json"] {
            for command in ["plan", "sweep"] {
                let (code, stdout, stderr) = run(&world, &[command, "-o", output, "--log-level", "trace"]);
                assert_eq!(code, Some(if command == "plan" { 0 } else { 3 }), "{stdout}{stderr}");
                assert!(stdout.contains("ServiceUnhealthy"), "{stdout}");
                write!(answers, "{stdout}{stderr}").unwrap();
            }
        }
    }
    assert!(!answers.contains(CANARY), "{answers}");
}

#[test]
fn a_password_in_the_address_is_refused_and_not_repeated() {
    let world = world_with(0, "http://me:hunter2@127.0.0.1/healthz", "", "");
    let (code, stdout, stderr) = run(&world, &["plan"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("spec.containers.http.url: ") && !(stdout + &stderr).contains("hunter2"), "{stderr}");
}
