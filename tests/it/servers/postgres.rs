//! PostgreSQL.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use super::process::{
    Folder, Process, command, command_as_server, give_away, launch, launch_at, output, percent_encoded, wait_for,
};
use super::{Certificate, DATABASE, Options, PASSWORD, USER, ca};

/// What no server of a test needs, is off. Those that a test reads in [`Postgres::log`] are on.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
max_connections = 40
shared_buffers = 4MB
# Files in the data directory, where a killed server leaves none behind in /dev/shm.
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
autovacuum = off
max_logical_replication_workers = 0
wal_retrieve_retry_interval = 100ms
log_connections = on
log_disconnections = on
log_statement = all
log_line_prefix = '%p %u@%d %a: '
timezone = 'Etc/UTC'
log_timezone = 'Etc/UTC'
";

/// A PostgreSQL server with a cluster of its own.
pub struct Postgres {
    process: Mutex<Option<Process>>,
    port: u16,
    options: Options,
    folder: Folder,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Postgres {
    /// A server with a fresh cluster, with a system identifier of its own.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// The same, on which clients may insist on TLS.
    pub fn with_tls(certificate: Certificate) -> Self {
        Self::start_with(Options::default().tls(certificate))
    }

    /// The same with options.
    pub fn start_with(options: Options) -> Self {
        let folder = Folder::new();
        folder.copy(&template().join("data"), "data");
        give_identity(&folder.join("data"));
        Self::serve(folder, options)
    }

    fn serve(folder: Folder, options: Options) -> Self {
        let method = if options.trusting { "trust" } else { "scram-sha-256" };
        let access = format!(
            "local all postgres trust\nlocal replication postgres trust\n\
             host replication replicator 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 {method}\n"
        );
        folder.write("access", access.as_bytes());
        if let Some(certificate) = options.certificate {
            certificate.install(&folder);
        }
        let (port, process) =
            launch(&folder, |port| server(&folder, &options, port), |_, process| is_ready(&folder, process));
        Self { process: Mutex::new(Some(process)), port, options, folder }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where [`USER`] connects to, with its password.
    pub fn url(&self) -> String {
        self.url_for(USER, PASSWORD, DATABASE)
    }

    /// Where somebody else connects to.
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        url_at(self.port, user, password, database)
    }

    /// The certificate of the authority that signs for a server with TLS, as a PEM file.
    pub fn ca(&self) -> PathBuf {
        ca()
    }

    /// Runs statements as a superuser, each in a transaction of its own.
    ///
    /// # Panics
    ///
    /// With what psql says, where one fails.
    pub fn admin(&self, sql: &str) {
        self.query(sql);
    }

    /// Runs statements as a superuser and returns their rows: one a line, columns separated by `|`.
    pub fn query(&self, sql: &str) -> String {
        let mut psql = psql();
        psql.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", "postgres", DATABASE]);
        output(&mut psql, sql)
    }

    /// What the server wrote into its log: connections, statements and errors among it.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap()).into_owned()
    }

    /// The identifier that a cluster shares with its standbys and copies, and with nothing else.
    pub fn system_identifier(&self) -> String {
        self.query("select system_identifier from pg_control_system()")
    }

    /// The process that listens, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Stops the server and all its sessions, as a machine that hangs: connections are accepted, nothing is answered.
    pub fn stop_signal(&self) {
        self.running(|process| process.signal_all("STOP"));
    }

    /// The opposite of [`Self::stop_signal`].
    pub fn continue_signal(&self) {
        self.running(|process| process.signal_all("CONT"));
    }

    /// Kills the server and all its sessions, as a machine that loses its power.
    pub fn kill(&self) {
        self.process().take();
    }

    /// Shuts the server down in order; sessions are cut.
    pub fn shutdown(&self) {
        let process = self.process().take().expect("a server that runs");
        process.signal("INT");
        wait_for("PostgreSQL to shut down", || !process.is_alive());
    }

    /// Starts the server again on the same port, after it was shut down where it runs.
    pub fn restart(&self) {
        if self.process().is_some() {
            self.shutdown();
        }
        let command = server(&self.folder, &self.options, self.port);
        let started = launch_at(&self.folder, &command, |process| is_ready(&self.folder, process));
        *self.process() = Some(started.unwrap_or_else(|log| panic!("{log}")));
    }

    /// A standby that streams from this server.
    pub fn standby(&self) -> Self {
        let folder = Folder::new();
        let mut backup = command_as_server(program("pg_basebackup"));
        backup.arg("-D").arg(folder.join("data")).args(["-c", "fast", "--no-sync", "-U", "postgres"]);
        output(backup.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string()]), "");
        let source = format!("primary_conninfo = 'host=127.0.0.1 port={} user=replicator'\n", self.port);
        append(&folder.join("data/postgresql.auto.conf"), &source);
        folder.write("data/standby.signal", b"");
        let standby = Self::serve(folder, self.options.clone());
        wait_for("the standby to stream", || standby.query("select status from pg_stat_wal_receiver") == "streaming");
        standby
    }

    /// Waits until this standby has everything that `primary` has now.
    pub fn catch_up_with(&self, primary: &Self) {
        let written = primary.query("select pg_current_wal_lsn()");
        let replayed = format!("select pg_last_wal_replay_lsn() >= '{written}'");
        wait_for("the standby to catch up", || self.query(&replayed) == "t");
    }

    /// Makes a standby a primary.
    pub fn promote(&self) {
        assert_eq!(self.query("select pg_promote(true, 60)"), "t", "a standby can be promoted");
    }

    /// A standby receives, and shows nothing new.
    pub fn pause_replay(&self) {
        self.admin("select pg_wal_replay_pause()");
        wait_for("replay to pause", || self.query("select pg_get_wal_replay_pause_state()") == "paused");
    }

    /// The opposite of [`Self::pause_replay`].
    pub fn resume_replay(&self) {
        self.admin("select pg_wal_replay_resume()");
    }

    /// A second server on a copy of the data directory as it is now: once both go on, "yesterday's copy" of the first. It has
    /// the same system identifier, and is no standby unless the first is one.
    pub fn copy_data_dir(&self) -> Self {
        let folder = Folder::new();
        // Nothing changes below the copy, which is then what is found after a loss of power.
        let process = self.process();
        process.iter().for_each(|process| process.signal_all("STOP"));
        folder.copy(&self.folder.join("data"), "data");
        process.iter().for_each(|process| process.signal_all("CONT"));
        drop(process);
        fs::remove_file(folder.join("data/postmaster.pid")).ok();
        Self::serve(folder, self.options.clone())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap()
    }

    fn running(&self, act: impl FnOnce(&Process)) {
        act(self.process().as_ref().expect("a server that runs"));
    }
}

/// A URL of a PostgreSQL on 127.0.0.1.
pub(super) fn url_at(port: u16, user: &str, password: &str, database: &str) -> String {
    let [user, password, database] = [user, password, database].map(percent_encoded);
    format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}")
}

/// psql, which prints nothing but rows and errors.
pub(super) fn psql() -> std::process::Command {
    let mut psql = command(program("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
    psql
}

/// A program of PostgreSQL: the newest that Debian installed, or the one on the path.
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |path: &Path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut installed: Vec<_> = versions.map(|entry| entry.path()).filter(|path| version(path).is_some()).collect();
    installed.sort_by_key(|path| version(path));
    let programs = installed.into_iter().rev().map(|path| path.join("bin"));
    programs.map(|bin| bin.join(name)).find(|program| program.exists()).unwrap_or_else(|| name.into())
}

/// What belongs to one server is told to it here, so that a copy of its data directory knows nothing of it.
fn server(folder: &Folder, options: &Options, port: u16) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec![program("postgres").into(), "-D".into(), folder.join("data").into()];
    let mut set = |name: &str, value: OsString| {
        let mut setting = OsString::from(format!("{name}="));
        setting.push(value);
        command.extend(["-c".into(), setting]);
    };
    set("port", port.to_string().into());
    set("unix_socket_directories", folder.path().into());
    set("hba_file", folder.join("access").into());
    if options.certificate.is_some() {
        set("ssl", "on".into());
        set("ssl_cert_file", folder.join("server.pem").into());
        set("ssl_key_file", folder.join("server.key").into());
    }
    command.extend(options.settings.iter().flat_map(|setting| ["-c".into(), setting.into()]));
    command
}

/// The server says so in the eighth line of its lock file, which may be left from the one before it.
fn is_ready(folder: &Folder, process: &Process) -> bool {
    let Ok(told) = fs::read_to_string(folder.join("data/postmaster.pid")) else { return false };
    let lines: Vec<&str> = told.lines().map(str::trim).collect();
    lines.first() == Some(&process.pid().to_string().as_str()) && lines.get(7) == Some(&"ready")
}

/// A cluster with the table, shut down: each server starts from a copy.
fn template() -> &'static Folder {
    static TEMPLATE: OnceLock<Folder> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = Folder::new();
        let mut initdb = command_as_server(program("initdb"));
        initdb.arg("-D").arg(folder.join("data")).args(["-U", "postgres", "-A", "trust", "--no-sync"]);
        // The smallest log there is: it is copied for each server.
        output(initdb.args(["--locale=C", "--encoding=UTF8", "--wal-segsize=1"]), "");
        append(&folder.join("data/postgresql.conf"), SETTINGS);
        output(
            command_as_server(program("postgres")).arg("--single").arg("-D").arg(folder.join("data")).arg("postgres"),
            &format!("create database {DATABASE}\n"),
        );
        let template = Postgres::serve(folder, Options::default());
        template.admin(&format!(
            "create table session(
                     id text primary key, deleted_at timestamptz, updated_at timestamptz default now());
                 insert into session(id, deleted_at) values
                     ('ada', null), ('bob', null), ('cyd', null), ('old', now() - interval '30 days');
                 create role {USER} login password '{PASSWORD}';
                 grant select on session to {USER};
                 create role replicator login replication;
                 -- Of what is copied for each server these two are half.
                 drop database postgres;
                 update pg_database set datistemplate = false where datname = 'template0';
                 drop database template0;"
        ));
        template.shutdown();
        template.folder
    })
}

fn append(path: &Path, text: &str) {
    let before = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, before + text).unwrap();
    give_away(path);
}

/// Gives a copy of the template a system identifier of its own: two servers of a test are no copies of each other.
fn give_identity(data: &Path) {
    static COPIES: AtomicU64 = AtomicU64::new(1);
    let path = data.join("global/pg_control");
    let mut control = fs::read(&path).unwrap();
    // The identifier comes first. How much follows it differs between versions, but what follows that is its checksum.
    let end = (8..512).step_by(4).find(|end| control[*end..end + 4] == crc32c(&control[..*end]).to_le_bytes());
    let end = end.expect("a checksum in pg_control");
    let identifier = u64::from_le_bytes(control[..8].try_into().unwrap());
    // Above the twelve bits of initdb's pid are microseconds.
    let identifier = identifier.wrapping_add(COPIES.fetch_add(1, Ordering::Relaxed) << 12);
    control[..8].copy_from_slice(&identifier.to_le_bytes());
    let checksum = crc32c(&control[..end]);
    control[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, control).unwrap();
    // The log holds the identifier as well.
    output(command_as_server(program("pg_resetwal")).arg("-D").arg(data), "");
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 })
    })
}
