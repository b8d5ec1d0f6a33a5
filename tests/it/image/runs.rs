//! The image at work: as a runtime runs it, in a root of its own that is read-only, as the image's user.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{image, output};
use crate::world::{DAY, World, id};

/// The image's user.
const USER: u32 = 65_532;
const PATIENCE: Duration = Duration::from_secs(60);

/// A root of its own with the folders of `$2…` in it. The mounts are in a namespace that ends with the process.
const ENTER: &str = r#"
set -e
root=$1 user=$2 && shift 2
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
    mount --rbind "$1" "$root$2"
    shift 2
done
shift
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" --groups= "$root" "$@"
"#;

/// A container of the image, with a world in it.
struct Container {
    world: World,
    root: PathBuf,
    /// The root's copy and what `/state` is.
    dir: TempDir,
}

impl Container {
    /// A container in which the world is where it is outside.
    fn of(world: World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        output(Command::new("cp").args(["-a", "--reflink=auto"]).arg(&image().root).arg(&root));
        fs::create_dir(dir.path().join("state")).unwrap();
        chown(dir.path().join("state"), Some(USER), Some(USER)).unwrap();
        fs::write(dir.path().join("hosts"), "127.0.0.1 localhost only-in-the-container\n").unwrap();
        // What a runtime makes before it starts anything.
        let place = world.path("").strip_prefix("/").unwrap().to_owned();
        for place in [Path::new("proc"), &place] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        fs::write(root.join("etc/hosts"), "").unwrap();
        Self { world, root, dir }
    }

    /// Gives the world to the image's user, who has to own the workspaces.
    fn hand_over(&self) {
        self.world.spec_file();
        output(Command::new("chown").args(["-hR", &format!("{USER}:{USER}")]).arg(self.world.path("")));
    }

    fn command(&self, args: &[&str]) -> Command {
        let config = &image().config;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", ENTER, "enter"]).arg(&self.root).arg(config["User"].as_str().unwrap());
        let (inside, world) = (self.dir.path(), self.world.path(""));
        let hosts = inside.join("hosts");
        for (from, to) in
            [(Path::new("/proc"), Path::new("/proc")), (&world, &world), (&hosts, Path::new("/etc/hosts"))]
        {
            command.arg(from).arg(to);
        }
        command.arg(inside.join("state")).args(["/state", "--"]);
        command.args(config["Entrypoint"].as_array().unwrap().iter().map(|part| part.as_str().unwrap())).args(args);
        command.env_clear().stdin(Stdio::null());
        for variable in config["Env"].as_array().unwrap() {
            let (name, value) = variable.as_str().unwrap().split_once('=').unwrap();
            command.env(name, value);
        }
        command
    }

    fn spec(&self) -> String {
        self.world.path("spec.yaml").display().to_string()
    }
}

/// A service in a container.
struct Service {
    child: Child,
    log: PathBuf,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start(container: &Container, args: &[&str]) -> Self {
        let log = container.dir.path().join("log");
        let mut command = container.command(args);
        let child = command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        Self { child, log }
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Waits for a line of the log.
    fn line(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let lines = self.lines();
            if let Some(line) = lines.iter().find(|line| is_it(line)) {
                return line.clone();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {lines:#?}");
            assert!(begun.elapsed() < PATIENCE, "{lines:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn world() -> World {
    let mut world = World::on_disk();
    world.part("schedule", "{cron: '0 3 * * *', timeZone: Europe/Berlin}");
    world.workspace(&id(1), 30 * DAY);
    world.workspace("aaaaaaaa-0000-4000-8000-000000000000", 30 * DAY);
    world
}

#[test]
fn it_serves_as_nobody_on_a_root_that_is_read_only() {
    let container = Container::of(world());
    container.hand_over();
    assert_eq!(output(&mut container.command(&["--version"])), format!("hygiene {}\n", env!("CARGO_PKG_VERSION")));
    let spec = container.spec();
    let run = ["run", "--startup-delay", "0s", "--unsafe-short-times", "--listen", "127.0.0.1:0", "-f", &spec];
    let mut service = Service::start(&container, &run);
    let address = service.line(|line| line["address"].is_string())["address"].as_str().unwrap().to_owned();
    let swept = service.line(|line| line["message"] == "swept");
    assert_eq!(swept["quarantined"], 1, "{swept}");
    let status = fs::read_to_string(format!("/proc/{}/status", service.child.id())).unwrap();
    assert!(status.contains(&format!("\nUid:\t{USER}\t{USER}\t{USER}\t{USER}\n")), "{status}");

    let health = get(&address, "/healthz");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    let begun = Instant::now();
    // The next one is at three in the morning in Berlin, whatever the season: the time zones are there.
    let next = loop {
        let status = get(&address, "/status");
        let status: Value = serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
        if let Some(next) = status.pointer("/resources/0/status/nextSweepTime").and_then(Value::as_str) {
            break next.parse::<Timestamp>().unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "{status:#}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let next = next.to_zoned(TimeZone::get("Europe/Berlin").unwrap());
    assert_eq!((next.hour(), next.minute()), (3, 0), "{next}");

    // The container's own names come before those of the network.
    let url = format!("http://only-in-the-container:{}/healthz", address.rsplit(':').next().unwrap());
    output(&mut container.command(&["healthcheck", "--url", &url]));

    kill_process(Pid::from_child(&service.child), Signal::TERM).unwrap();
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
    assert!(!container.command(&["healthcheck", "--url", &url]).output().unwrap().status.success());
}

#[test]
fn what_mode_report_remembers_is_in_the_folder_for_it() {
    let mut world = world();
    world.part("mode", "Report");
    let container = Container::of(world);
    container.hand_over();
    output(&mut container.command(&["sweep", "-f", &container.spec()]));
    let shown = output(&mut container.command(&["status", "-f", &container.spec()]));
    assert!(shown.contains("last sweep"), "{shown}");
    assert!(fs::read_dir(container.dir.path().join("state")).unwrap().next().is_some());
}
