//! Real database servers for tests: PostgreSQL, MariaDB and PgBouncer, on ports of the loopback interface, each in a folder of
//! its own, as a user without privileges. They end with the value that stands for them, or with the test process. Each has
//! the database `sessions` with the table `session`: `ada`, `bob` and `cyd` are live, `old` is deleted.

mod mariadb;
mod pgbouncer;
mod postgres;
pub mod process;
mod proxy;
mod tests;
mod tls;

pub use mariadb::MariaDb;
pub use pgbouncer::{PgBouncer, PoolMode};
pub use postgres::Postgres;
pub use process::wait_for;
pub use proxy::{MySqlRouter, Proxy, Router};
pub use tls::{Certificate, ca};

/// The user whom the session store connects as. It may select from the table `session`.
pub const USER: &str = "hygiene";

/// Its password, of which much has to be encoded in a URL. Nothing that is printed may hold it.
pub const PASSWORD: &str = "s3cret-%+/@:PW";

/// The same user without a password, where a server has one.
pub const OPEN_USER: &str = "open";

/// The database with the table `session`.
pub const DATABASE: &str = "sessions";

/// How a server is started, where a test wants something else than usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    trusting: bool,
    certificate: Option<Certificate>,
    settings: Vec<String>,
}

impl Options {
    /// PostgreSQL asks nobody for a password, so that a router may introduce one client to two servers. MariaDB has
    /// [`OPEN_USER`] for that.
    pub fn trusting(mut self) -> Self {
        self.trusting = true;
        self
    }

    /// The server offers TLS.
    pub fn tls(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// A setting of the server, as `name=value`.
    pub fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }
}
