//! How long the session store takes to read ten million ids from PostgreSQL and from MariaDB, and how much memory, beside
//! the client that comes with each. Prints a table; judges nothing, since what is fast depends on the machine.

mod live;
#[path = "../scale/measure.rs"]
mod measure;
#[allow(clippy::disallowed_methods, dead_code, unused_imports)] // a bench needs little of what tests need
#[path = "../../tests/it/servers/mod.rs"]
mod servers;

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use measure::{Measured, measure, median};
use servers::{DATABASE, MariaDb, Options as Settings, PASSWORD, Postgres, USER};

/// Measures the session store beside psql and mariadb
#[derive(Parser, Debug)]
struct Options {
    /// Rows of the session table, all of them live
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,

    /// Rounds; each runs everything once, and the table has the medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// Only this engine
    #[arg(long, value_parser = ["postgres", "mariadb"])]
    engine: Option<String>,

    /// Folder below which the servers have theirs, best on a tmpfs; what is made there is removed at the end
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,

    /// Read the sessions of the server at this URL once: how the bench runs itself, so that a reading has a process of its own
    #[arg(long, hide = true)]
    read: Option<String>,

    /// The query of such a reading
    #[arg(long, hide = true, default_value = LIVE)]
    query: String,

    /// What cargo adds for every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured, and the servers it is measured on.
const TOOLS: &[(&str, &str)] =
    &[("psql", "postgresql-client"), ("mariadb", "mariadb-client"), ("mariadbd", "mariadb-server"), ("sh", "dash")];

const LIVE: &str = "select id from session where deleted_at is null";

/// The same over a table with a tenth of the rows.
const FEW: &str = "select id from few where deleted_at is null";

/// Runs a tool whose output nobody reads.
const UNREAD: &str = r#"exec "$0" "$@" >/dev/null"#;

/// A server with the table, filled.
enum Server {
    Postgres(Box<Postgres>),
    MariaDb(Box<MariaDb>),
}

impl Server {
    fn postgres(rows: u64) -> Self {
        let server = Postgres::start_with(
            Settings::default()
                .set("shared_buffers=128MB")
                .set("max_wal_size=8GB")
                .set("wal_level=minimal")
                .set("max_wal_senders=0"),
        );
        server.admin(&format!(
            "drop table session;
             create table session(id text primary key, created_at timestamptz not null default now(), deleted_at timestamptz);
             insert into session(id) select gen_random_uuid() from generate_series(1, {rows}) order by 1;
             create table few as select * from session limit {rows} / 10;
             grant select on session, few to {USER};
             vacuum analyze session;
             vacuum analyze few;"
        ));
        Self::Postgres(Box::new(server))
    }

    fn mariadb(rows: u64) -> Self {
        let settings = [
            "innodb-buffer-pool-size=512M",
            "innodb-log-file-size=512M",
            "innodb-flush-log-at-trx-commit=0",
            "skip-log-bin",
        ];
        let server = MariaDb::start_with(settings.into_iter().fold(Settings::default(), Settings::set));
        server.admin(&format!(
            "drop table session;
             create table session(id char(36) primary key, created_at datetime not null default now(), deleted_at datetime)
                 character set utf8mb4;
             insert into session(id) select uuid() from seq_1_to_{rows};
             create table few as select * from session limit {};
             grant select on session to {USER}@'%';
             grant select on few to {USER}@'%';
             grant slave monitor on *.* to {USER}@'%';
             analyze table session, few;",
            rows / 10
        ));
        Self::MariaDb(Box::new(server))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "PostgreSQL",
            Self::MariaDb(_) => "MariaDB",
        }
    }

    fn tool(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "psql --quiet -c 'copy (…) to stdout'",
            Self::MariaDb(_) => "mariadb --quick -N -B -e '…'",
        }
    }

    fn version(&self) -> String {
        match self {
            Self::Postgres(server) => server.query("show server_version"),
            Self::MariaDb(server) => server.query("select version()"),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(server) => server.url(),
            Self::MariaDb(server) => server.url(),
        }
    }

    /// The client's command for all rows of a query, over the same TCP connection as ours.
    fn command(&self, query: &str, counted: bool) -> Vec<String> {
        let query = if counted { format!("select count(*) from ({query}) as live") } else { query.to_owned() };
        match self {
            Self::Postgres(server) => {
                vec![
                    "psql".into(),
                    "-X".into(),
                    "--quiet".into(),
                    server.url(),
                    "-c".into(),
                    format!("copy ({query}) to stdout"),
                ]
            }
            Self::MariaDb(server) => vec![
                "mariadb".into(),
                "--no-defaults".into(),
                "--quick".into(),
                "-N".into(),
                "-B".into(),
                "--protocol=tcp".into(),
                "--host=127.0.0.1".into(),
                format!("--port={}", server.port()),
                format!("--user={USER}"),
                format!("--password={PASSWORD}"),
                DATABASE.into(),
                "-e".into(),
                query,
            ],
        }
    }

    fn run_tool(&self, query: &str, counted: bool) -> Result<Measured> {
        let command = self.command(query, counted);
        let mut arguments: Vec<&OsStr> = vec!["-c".as_ref(), UNREAD.as_ref()];
        arguments.extend(command.iter().map(OsStr::new));
        measure("sh", &arguments)
    }

    /// One reading of ours, in a process of its own.
    fn run_ours(&self, query: &str, rows: u64) -> Result<Measured> {
        let myself = std::env::current_exe()?;
        let url = self.url();
        let arguments = ["--read", &url, "--query", query].map(OsStr::new);
        let run = measure(myself.to_str().context("a path that is no text")?, &arguments)?;
        ensure!(run.output.trim() == rows.to_string(), "{} rows were read of {rows}", run.output.trim());
        Ok(run)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(url) = &options.read {
        println!("{}", live::read(url, &options.query)?);
        return Ok(());
    }
    ensure!(options.rounds > 0, "--rounds must be at least 1");
    ensure!(options.rows >= 10, "--rows must be at least 10");
    ensure!(options.dir.is_dir(), "{} is no folder; choose another with --dir", options.dir.display());
    measure::tools(TOOLS)?;
    if tempfile::env::override_temp_dir(&options.dir).is_err() {
        bail!("the folder for temporary files is already chosen");
    }
    println!("{}\n", measure::machine()?);
    for (engine, make) in [("postgres", Server::postgres as fn(u64) -> Server), ("mariadb", Server::mariadb)] {
        if options.engine.as_ref().is_none_or(|only| only == engine) {
            compare(&make(options.rows), &options)?;
        }
    }
    Ok(())
}

/// Runs the client and ours in turns, and prints what came of it.
fn compare(server: &Server, options: &Options) -> Result<()> {
    let (rows, few) = (options.rows, options.rows / 10);
    println!("{} {}: {rows} rows, medians of {}\n", server.name(), server.version(), options.rounds);

    let (began, cpu_before) = (measure::now(), measure::cpu_of_all()?);
    let (mut tool, mut count, mut ours, mut ours_few) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first round warms what the server and the kernel keep, and is thrown away.
    for round in 0..=options.rounds {
        let runs = [
            (&mut tool, server.run_tool(LIVE, false)?),
            (&mut ours, server.run_ours(LIVE, rows)?),
            (&mut count, server.run_tool(LIVE, true)?),
            (&mut ours_few, server.run_ours(FEW, few)?),
        ];
        for (to, run) in runs {
            to.extend((round > 0).then_some(run));
        }
    }
    let busy = (measure::cpu_of_all()? - cpu_before) / began.elapsed().as_secs_f64();

    let base = median(&tool, |run| run.seconds);
    let counting = median(&count, |run| run.seconds);
    println!(
        "{:<38} {:>8} {:>12} {:>12} {:>8} {:>12}",
        "WHAT", "TIME", "ROWS A S", "OF THE TOOL", "CPU", "PEAK MEMORY"
    );
    let line = |what: &str, runs: &[Measured], less: f64, rows: u64, peak: bool| {
        let (time, cpu) = (median(runs, |run| run.seconds) - less, median(runs, |run| run.cpu));
        #[allow(clippy::cast_precision_loss)] // nobody has 2^52 sessions
        let a_second = rows as f64 / time;
        let peak = if peak { format!("{:.0} MiB", median(runs, |run| run.peak_mib)) } else { "-".into() };
        println!("{what:<38} {time:>6.2} s {a_second:>12.0} {:>12.2} {cpu:>6.2} s {peak:>12}", time / base);
    };
    line(server.tool(), &tool, 0.0, rows, true);
    line("the session store", &ours, 0.0, rows, true);
    line("the same, less one count(*)", &ours, counting, rows, false);
    line("count(*) by the tool", &count, 0.0, rows, false);
    line("the session store, a tenth of the rows", &ours_few, 0.0, few, true);
    let grown = median(&ours, |run| run.peak_mib) - median(&ours_few, |run| run.peak_mib);
    #[allow(clippy::cast_precision_loss)] // nobody has 2^52 sessions
    let an_id = grown * f64::from(1 << 20) / (rows - few) as f64;
    println!(
        "\nFrom {few} to {rows} rows the peak grows by {grown:.0} MiB, {an_id:.1} bytes an id; the set of ids has 16."
    );
    println!("The machine was busy with {busy:.1} cores meanwhile, the servers among it.\n");
    Ok(())
}
