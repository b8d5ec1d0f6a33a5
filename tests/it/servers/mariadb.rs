//! MariaDB.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use super::process::{
    Folder, Process, command, command_as_server, launch, launch_at, output, percent_encoded, wait_for,
};
use super::{Certificate, DATABASE, OPEN_USER, Options, PASSWORD, USER, ca};

/// What no server of a test needs, is small. What is written reaches the kernel with each commit, as a copy of the data
/// directory wants it, and no disk.
const SETTINGS: &[&str] = &[
    "bind-address=127.0.0.1",
    "skip-name-resolve",
    "innodb-buffer-pool-size=8M",
    "innodb-log-file-size=4M",
    "innodb-flush-log-at-trx-commit=2",
    "innodb-doublewrite=0",
    "innodb-use-native-aio=0",
    "sync-binlog=0",
    "performance-schema=0",
    "key-buffer-size=1M",
    "aria-pagecache-buffer-size=8M",
    "max-connections=40",
    "default-time-zone=+00:00",
    "slave-net-timeout=10",
    // Names in the data directory that hold neither the host nor the folder.
    "log-bin=binlog",
    "relay-log=relay",
    "relay-log-index=relay.index",
    "log-slave-updates",
];

/// A MariaDB server with a data directory of its own. Its binary log holds all that happened since it was started first.
pub struct MariaDb {
    process: Mutex<Option<Process>>,
    port: u16,
    /// What replication tells servers apart by. A copy of a data directory keeps it, as a restored server keeps its settings.
    id: u32,
    read_only: AtomicBool,
    options: Options,
    folder: Folder,
}

impl fmt::Debug for MariaDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MariaDb").field("port", &self.port).field("id", &self.id).finish_non_exhaustive()
    }
}

impl MariaDb {
    /// A server with a fresh data directory and a server id of its own.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// The same, on which clients may insist on TLS.
    pub fn with_tls(certificate: Certificate) -> Self {
        Self::start_with(Options::default().tls(certificate))
    }

    /// The same with options.
    pub fn start_with(options: Options) -> Self {
        Self::fresh(options, false)
    }

    fn fresh(options: Options, read_only: bool) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(1);
        let folder = Folder::new();
        folder.copy(&template().join("data"), "data");
        Self::serve(folder, options, STARTED.fetch_add(1, Ordering::Relaxed), read_only)
    }

    fn serve(folder: Folder, options: Options, id: u32, read_only: bool) -> Self {
        if let Some(certificate) = options.certificate {
            certificate.install(&folder);
        }
        let (port, process) =
            launch(&folder, |port| server(&folder, &options, id, read_only, port), |_, _| is_ready(&folder));
        Self { process: Mutex::new(Some(process)), port, id, read_only: read_only.into(), options, folder }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where [`USER`] connects to, with its password.
    pub fn url(&self) -> String {
        self.url_for(USER, PASSWORD, DATABASE)
    }

    /// Where somebody else connects to. Without a password the URL has none.
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        url_at(self.port, user, password, database)
    }

    /// The certificate of the authority that signs for a server with TLS, as a PEM file.
    pub fn ca(&self) -> PathBuf {
        ca()
    }

    /// Runs statements as root, in the database [`DATABASE`].
    ///
    /// # Panics
    ///
    /// With what the client says, where one fails.
    pub fn admin(&self, sql: &str) {
        self.query(sql);
    }

    /// Runs statements as root and returns their rows: one a line, columns separated by tabs.
    pub fn query(&self, sql: &str) -> String {
        self.ask(&[], sql)
    }

    fn ask(&self, arguments: &[&str], sql: &str) -> String {
        let mut client = client();
        client.arg("--socket").arg(socket(&self.folder)).args(["--user=root", DATABASE]).args(arguments);
        output(&mut client, sql)
    }

    /// What the server wrote into its error log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("log")).unwrap()).into_owned()
    }

    /// The connections and statements of all clients since the server was started first.
    pub fn statements(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.join("statements")).unwrap()).into_owned()
    }

    /// The server id, which it shares with copies of its data directory.
    pub fn server_id(&self) -> u32 {
        self.id
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Stops the server, as a machine that hangs: connections are accepted, nothing is answered.
    pub fn stop_signal(&self) {
        self.running(|process| process.signal_all("STOP"));
    }

    /// The opposite of [`Self::stop_signal`].
    pub fn continue_signal(&self) {
        self.running(|process| process.signal_all("CONT"));
    }

    /// Kills the server, as a machine that loses its power.
    pub fn kill(&self) {
        self.process().take();
    }

    /// Shuts the server down in order.
    pub fn shutdown(&self) {
        let process = self.process().take().expect("a server that runs");
        process.signal("TERM");
        wait_for("MariaDB to shut down", || !process.is_alive());
    }

    /// Starts the server again on the same port, after it was shut down where it runs.
    pub fn restart(&self) {
        if self.process().is_some() {
            self.shutdown();
        }
        let read_only = self.read_only.load(Ordering::Relaxed);
        let command = server(&self.folder, &self.options, self.id, read_only, self.port);
        let started = launch_at(&self.folder, &command, |_| is_ready(&self.folder));
        *self.process() = Some(started.unwrap_or_else(|log| panic!("{log}")));
    }

    /// A replica of this server that is read-only, and has all that this server has now.
    pub fn replica(&self) -> Self {
        let replica = Self::fresh(self.options.clone(), true);
        replica.admin(&format!(
            "change master to master_host = '127.0.0.1', master_port = {}, master_user = 'replicator',
                 master_connect_retry = 1, master_use_gtid = slave_pos;
             start slave;",
            self.port
        ));
        wait_for("replication to run", || {
            let status = replica.ask(&["--column-names"], "show slave status\\G");
            assert!(!status.contains("Last_SQL_Error: E"), "{status}");
            status.contains("Slave_IO_Running: Yes") && status.contains("Slave_SQL_Running: Yes")
        });
        replica.catch_up_with(self);
        replica
    }

    /// Waits until this replica has everything that `primary` has now.
    pub fn catch_up_with(&self, primary: &Self) {
        let written = primary.query("select @@gtid_binlog_pos");
        assert_eq!(self.query(&format!("select master_gtid_wait('{written}', 60)")), "0", "the replica catches up");
    }

    /// The replica keeps what it has, and receives nothing more.
    pub fn stop_replication(&self) {
        self.admin("stop slave");
    }

    /// The opposite of [`Self::stop_replication`].
    pub fn start_replication(&self) {
        self.admin("start slave");
    }

    /// Makes a replica a primary.
    pub fn promote(&self) {
        self.admin("stop slave; reset slave all; set global read_only = off");
        self.read_only.store(false, Ordering::Relaxed);
    }

    /// A second server on a copy of the data directory as it is now: once both go on, "yesterday's copy" of the first.
    pub fn copy_data_dir(&self) -> Self {
        let folder = Folder::new();
        // Nothing changes below the copy, which is then what is found after a loss of power.
        let process = self.process();
        process.iter().for_each(|process| process.signal_all("STOP"));
        folder.copy(&self.folder.join("data"), "data");
        process.iter().for_each(|process| process.signal_all("CONT"));
        drop(process);
        Self::serve(folder, self.options.clone(), self.id, self.read_only.load(Ordering::Relaxed))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap()
    }

    fn running(&self, act: impl FnOnce(&Process)) {
        act(self.process().as_ref().expect("a server that runs"));
    }
}

/// A URL of a MariaDB on 127.0.0.1.
pub(super) fn url_at(port: u16, user: &str, password: &str, database: &str) -> String {
    let [user, password, database] = [user, password, database].map(percent_encoded);
    let password = if password.is_empty() { password } else { format!(":{password}") };
    format!("mysql://{user}{password}@127.0.0.1:{port}/{database}")
}

/// The client, which prints nothing but rows and errors.
pub(super) fn client() -> std::process::Command {
    let mut client = command("mariadb");
    client.args(["--no-defaults", "--batch", "--raw", "--skip-column-names"]);
    client
}

fn socket(folder: &Folder) -> PathBuf {
    folder.join("socket")
}

fn server(folder: &Folder, options: &Options, id: u32, read_only: bool, port: u16) -> Vec<OsString> {
    let mut command: Vec<OsString> = vec!["mariadbd".into(), "--no-defaults".into()];
    command.extend(SETTINGS.iter().map(|setting| format!("--{setting}").into()));
    command.extend([format!("--port={port}").into(), format!("--server-id={id}").into()]);
    command.extend([format!("--read-only={}", u8::from(read_only)).into(), "--general-log".into()]);
    let mut place = |name: &str, at: &str| {
        let mut setting = OsString::from(format!("--{name}="));
        setting.push(folder.join(at));
        command.push(setting);
    };
    place("datadir", "data");
    place("tmpdir", "");
    place("socket", "socket");
    place("pid-file", "pid");
    place("general-log-file", "statements");
    if options.certificate.is_some() {
        place("ssl-cert", "server.pem");
        place("ssl-key", "server.key");
    } else {
        command.push("--skip-ssl".into());
    }
    command.extend(options.settings.iter().map(|setting| format!("--{setting}").into()));
    command
}

/// A server that takes connections greets.
fn is_ready(folder: &Folder) -> bool {
    let Ok(mut connection) = UnixStream::connect(socket(folder)) else { return false };
    connection.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    connection.read_exact(&mut [0]).is_ok()
}

/// A data directory with the table and an empty history, shut down: each server starts from a copy.
fn template() -> &'static Folder {
    static TEMPLATE: OnceLock<Folder> = OnceLock::new();
    TEMPLATE
        .get_or_init(|| {
            let folder = Folder::new();
            let mut install = command_as_server("mariadb-install-db");
            install.arg("--no-defaults").arg(format!("--datadir={}", folder.join("data").display()));
            install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=4M"]);
            output(&mut install, "");
            let template = MariaDb::serve(folder, Options::default().set("skip-log-bin"), 1, false);
            let mut root = client();
            root.arg("--socket").arg(socket(&template.folder)).arg("--user=root");
            output(
                &mut root,
                &format!(
                    "create database {DATABASE};
                     use {DATABASE};
                     create table session(id varchar(64) primary key, deleted_at datetime, updated_at datetime default now());
                     insert into session(id, deleted_at) values
                         ('ada', null), ('bob', null), ('cyd', null), ('old', now() - interval 30 day);
                     delete from mysql.global_priv where user = '';
                     flush privileges;
                     create user {USER}@'%' identified by '{PASSWORD}';
                     create user {OPEN_USER}@'%';
                     grant select on session to {USER}@'%', {OPEN_USER}@'%';
                     create user replicator@'%';
                     grant replication slave on *.* to replicator@'%';"
                ),
            );
            template.shutdown();
            template.folder
        })
}
