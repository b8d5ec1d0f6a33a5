//! PgBouncer.

use std::fmt;
use std::fs;

use super::postgres::url_at;
use super::process::{Folder, Process, launch};
use super::{DATABASE, PASSWORD, Postgres, USER};

/// For how long a client keeps a connection to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PoolMode {
    Session,
    Transaction,
    Statement,
}

/// A pooler for the database of one PostgreSQL. Like most that are in use it drops the connection options it does not know.
pub struct PgBouncer {
    process: Process,
    port: u16,
    folder: Folder,
}

impl fmt::Debug for PgBouncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBouncer").field("port", &self.port).finish_non_exhaustive()
    }
}

impl PgBouncer {
    /// A pooler that keeps up to two connections as [`USER`].
    pub fn in_front_of(server: &Postgres, mode: PoolMode) -> Self {
        let folder = Folder::new();
        // It needs the password for the server as well.
        folder.write("users", format!("\"{USER}\" \"{PASSWORD}\"\n").as_bytes());
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        // Without a socket it ends where it does not get the port.
        let settings = |port| {
            format!(
                "[databases]\n{DATABASE} = host=127.0.0.1 port={} dbname={DATABASE}\n[pgbouncer]\n\
                 listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
                 auth_file = {}\npool_mode = {mode}\ndefault_pool_size = 2\n\
                 ignore_startup_parameters = extra_float_digits,options\n",
                server.port(),
                folder.join("users").display(),
            )
        };
        let (port, process) = launch(
            &folder,
            |port| vec!["pgbouncer".into(), folder.write("settings", settings(port).as_bytes()).into()],
            |_, _| fs::read_to_string(folder.join("log")).is_ok_and(|log| log.contains("process up")),
        );
        Self { process, port, folder }
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where [`USER`] connects to, with its password.
    pub fn url(&self) -> String {
        url_at(self.port, USER, PASSWORD, DATABASE)
    }

    /// What it wrote into its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
