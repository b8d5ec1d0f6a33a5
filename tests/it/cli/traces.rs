//! Traces for OpenTelemetry, as a collector receives them.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use super::{Ran, command_in, world_with};

/// A collector that takes what comes in, and hands on what was sent to it: path and body of each request.
fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
            let whole = |seen: &[u8]| -> Option<(String, Vec<u8>)> {
                let end = seen.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
                let head = String::from_utf8_lossy(&seen[..end]).to_lowercase();
                let length: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
                (seen.len() >= end + length).then(|| (head.lines().next().unwrap().to_owned(), seen[end..].to_vec()))
            };
            let request = loop {
                match (whole(&seen), stream.read(&mut buffer)) {
                    (Some(request), _) => break request,
                    (None, Ok(read)) if read > 0 => seen.extend_from_slice(&buffer[..read]),
                    _ => panic!("the request broke off: {}", String::from_utf8_lossy(&seen)),
                }
                if let Some(request) = whole(&seen) {
                    break request;
                }
            };
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            if tell.send(request).is_err() {
                return;
            }
        }
    });
    (address, told)
}

#[test]
fn a_sweep_sends_its_steps_to_the_collector_that_the_environment_names() {
    let world = world_with(2);
    let spec = world.spec_file();
    let (address, told) = collector();
    let mut command = command_in(&world, &["sweep", "-f", spec.to_str().unwrap()]);
    Ran::from(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address).output().unwrap()).exits(0);
    let (path, body) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(path.starts_with("post /v1/traces"), "{path}");
    let has = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    for text in ["workspace-hygiene", "sweep", "list", "ask", "inspect", "quarantine", &crate::world::id(1)] {
        assert!(has(text), "{text} is not in {}", String::from_utf8_lossy(&body));
    }
}

#[test]
fn a_collector_that_is_not_there_disturbs_nothing() {
    let world = world_with(1);
    let spec = world.spec_file();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = command_in(&world, &["sweep", "-f", spec.to_str().unwrap()]);
    let ran: Ran = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{gone}")).output().unwrap().into();
    assert!(ran.exits(0).stdout.contains("quarantined"));
}

#[test]
fn nobody_is_asked_where_the_environment_switches_it_off() {
    let world = world_with(1);
    let spec = world.spec_file();
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let (address, told) = collector();
        let mut command = command_in(&world, &["plan", "-f", spec.to_str().unwrap()]);
        let ran = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &address).env(name, value).output().unwrap();
        Ran::from(ran).exits(0);
        assert!(told.try_recv().is_err(), "{name}");
    }
}
