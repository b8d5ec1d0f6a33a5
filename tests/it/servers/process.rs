//! Folders and processes of servers, which outlive neither the test nor its process.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Debian's `nobody`: servers refuse to run as root.
const NOBODY: u32 = 65_534;

/// Where Debian keeps programs; a test may have been started with less.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longer than any server takes on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a file or folder to the user the servers run as.
pub fn give_away(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A command with an environment of its own: nothing in that of the test changes where a client connects to.
pub fn command(program: impl Into<OsString>) -> Command {
    let mut command = Command::new(program.into());
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C").stdin(Stdio::null());
    command
}

/// The same as the user the servers run as.
pub fn command_as_server(program: impl Into<OsString>) -> Command {
    let mut command = command(program);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// What a command printed, without the newline at its end.
///
/// # Panics
///
/// With all that it said, where it fails.
pub fn output(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}; `make setup` installs what the tests need"));
    // One that ends before it read everything says why.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let ran = child.wait_with_output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}: {}\n{input}\n{stdout}\n{stderr}", ran.status);
    stdout.trim_end_matches('\n').to_owned()
}

/// Waits until `reached`.
///
/// # Panics
///
/// With what was waited for, after a minute.
pub fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A shell that outlives the test process and learns from its input that it is gone. It has a session of its own: no interrupt
/// from the terminal reaches it, nor the hangup that the kernel sends to a process group that loses its parent while one of it
/// is stopped.
pub fn outliving(name: &str, script: &str) -> Command {
    let mut shell = command("setsid");
    shell.args(["sh", "-c", script, name]).current_dir("/").stdin(Stdio::piped());
    shell
}

/// The folder of all servers. Nothing in a static is dropped: it is removed when the test process ends, with what is in it.
fn all_servers() -> &'static Path {
    static ALL: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (dir, _) = ALL.get_or_init(|| {
        let passable = fs::Permissions::from_mode(0o755);
        let dir = tempfile::Builder::new().prefix("servers-").permissions(passable).tempdir().unwrap().keep();
        let mut keeper = outliving("keeper", include_str!("keeper.sh"));
        // Nobody waits for what it says.
        let keeper = keeper.arg(&dir).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        (dir, keeper)
    });
    dir
}

/// A folder for a server. It belongs to the user the servers run as.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        let dir = tempfile::tempdir_in(all_servers()).unwrap();
        give_away(dir.path());
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that only the server may read.
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        give_away(&path);
        path
    }

    /// Copies a tree of files here, by reference where the file system can.
    pub fn copy(&self, from: &Path, name: &str) {
        output(command("cp").args(["-a", "--reflink=auto", "--"]).arg(from).arg(self.join(name)), "");
    }
}

/// A running server; dropping it kills it and its children. When the test process ends without that, its watchdog does the
/// same.
pub struct Process {
    pid: u32,
    watchdog: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Process {
    /// Starts a server in a folder, as a user without privileges. What it says is appended to `log` there.
    pub fn start(dir: &Path, server: &[OsString]) -> Self {
        let mut command_line: Vec<OsString> = Vec::new();
        if is_root() {
            command_line.extend(["setpriv".into(), format!("--reuid={NOBODY}").into()]);
            command_line.extend([format!("--regid={NOBODY}").into(), "--clear-groups".into(), "--".into()]);
        }
        command_line.extend_from_slice(server);
        Self::start_as_it_is(dir, &command_line)
    }

    /// The same as the user of the tests: for programs that only that user can reach.
    pub fn start_as_it_is(dir: &Path, command_line: &[OsString]) -> Self {
        let mut watchdog = outliving("watchdog", include_str!("watchdog.sh"));
        let mut watchdog = watchdog.arg(dir).args(command_line).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, mut answers) = (watchdog.stdin.take().unwrap(), BufReader::new(watchdog.stdout.take().unwrap()));
        let mut pid = String::new();
        answers.read_line(&mut pid).unwrap();
        Self { pid: pid.trim().parse().unwrap(), watchdog, pipes: Mutex::new((orders, answers)) }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn is_alive(&self) -> bool {
        is_alive(self.pid)
    }

    /// Sends a signal, `TERM` for example, to the server alone.
    pub fn signal(&self, signal: &str) {
        self.order("server", signal);
    }

    /// Sends a signal to the server and its children.
    pub fn signal_all(&self, signal: &str) {
        self.order("all", signal);
    }

    fn order(&self, order: &str, signal: &str) {
        let mut pipes = self.pipes.lock().unwrap();
        writeln!(pipes.0, "{order} {signal}").unwrap();
        let mut answer = String::new();
        pipes.1.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "the watchdog does as it is told");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pipes) = self.pipes.get_mut() {
            writeln!(pipes.0, "end").ok();
        }
        self.watchdog.wait().ok();
    }
}

/// Whether there is a process with this pid that has not ended.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z'))
}

/// A port of the loopback interface that nobody listens on. Below the range from which the kernel takes the ports of clients,
/// so that a server that is started again gets the same one.
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const PORTS: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin in different places.
    let begin = std::process::id().wrapping_mul(101);
    (0..PORTS)
        .map(|_| FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS)
        .map(|port| u16::try_from(port).unwrap())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// Starts a server on a free port and waits until it is ready. Where another process took the port first, the next is tried.
pub fn launch(
    folder: &Folder,
    server: impl Fn(u16) -> Vec<OsString>,
    is_ready: impl Fn(u16, &Process) -> bool,
) -> (u16, Process) {
    for _ in 0..20 {
        let port = free_port();
        match launch_at(folder, &server(port), |process| is_ready(port, process)) {
            Ok(process) => return (port, process),
            Err(log) => assert!(log.contains("Address already in use"), "{:?}:\n{log}", server(port)),
        }
    }
    panic!("somebody takes every port that is free");
}

/// Starts a server and waits until it is ready, or returns what it said where it ends before that.
pub fn launch_at(folder: &Folder, server: &[OsString], is_ready: impl Fn(&Process) -> bool) -> Result<Process, String> {
    let log = folder.join("log");
    let said_before = fs::metadata(&log).map_or(0, |log| log.len()) as usize;
    let process = Process::start(folder.path(), server);
    let mut alive = true;
    wait_for("a server to be ready", || {
        alive = process.is_alive();
        !alive || is_ready(&process)
    });
    if alive { Ok(process) } else { Err(String::from_utf8_lossy(&fs::read(&log).unwrap()[said_before..]).into_owned()) }
}

/// Encodes what is not allowed everywhere in a URL.
pub fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
