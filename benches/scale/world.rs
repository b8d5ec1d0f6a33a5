//! The volume and the session table that are measured. Made from numbers alone, so that every run has the same.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use serde_json::{Value, json};

/// When every workspace was last active: 2025-01-01, older than any minAge.
const OLD: Timespec = Timespec { tv_sec: 1_735_689_600, tv_nsec: 0 };
/// The size of what is there, written when all of it is.
const FINISHED: &str = "finished";

/// Where everything is.
pub struct World {
    pub root: OsString,
    pub database: OsString,
    pub orphans: u64,
    /// Each spec that is measured, with what it is called.
    pub specs: Vec<(&'static str, OsString)>,
}

impl World {
    /// Makes the volume, the table and the specs in `dir`, or finds them there, of the same size.
    pub fn make(dir: &Path, workspaces: u64, rows: u64) -> Result<Self> {
        let size = format!("{workspaces} workspaces, {rows} rows\n");
        let finished = dir.join(FINISHED);
        if fs::read_to_string(&finished).ok().as_ref() != Some(&size) {
            if dir.exists() {
                remove(dir)?;
            }
            fs::create_dir_all(dir)
                .with_context(|| format!("making {}; choose another place with --dir", dir.display()))?;
            // Before all else, so that what is left of a run that was stopped may be removed by the next.
            fs::write(&finished, "not yet\n")?;
            fill(dir, workspaces, rows)?;
            fs::write(&finished, size)?;
        }
        let mut by_id = resource(dir, "by-id");
        by_id["spec"]["sessions"]["liveByIDQuery"] =
            json!("select 1 from session where id = ?1 and deleted_at is null");
        let specs = vec![
            ("hygiene plan", spec(dir, &resource(dir, "by-live-query"))?),
            ("hygiene plan, with liveByIDQuery", spec(dir, &by_id)?),
        ];
        let (root, database) = (dir.join("volume").into(), dir.join("sessions.db").into());
        Ok(Self { root, database, orphans: workspaces / 100, specs })
    }
}

/// Removes a world, and nothing that is none.
pub fn remove(dir: &Path) -> Result<()> {
    ensure!(dir.join(FINISHED).is_file(), "{} is none of ours: remove it, or choose another --dir", dir.display());
    Ok(fs::remove_dir_all(dir)?)
}

fn fill(dir: &Path, workspaces: u64, rows: u64) -> Result<()> {
    let volume = dir.join("volume");
    fs::create_dir(&volume)?;
    let root = rustix::fs::open(&volume, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let times = Timestamps { last_access: OLD, last_modification: OLD };

    let mut connection = Connection::open(dir.join("sessions.db"))?;
    // The ids are in no order, as UUIDs are: without the whole index in memory each row would cost a read.
    connection.execute_batch("pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -4000000;")?;
    let transaction = connection.transaction()?;
    // No index on deleted_at, as people have it.
    transaction
        .execute_batch("create table session (id text primary key, created_at text not null, deleted_at text)")?;
    let mut insert = transaction.prepare("insert into session values (?1, '2025-01-01 00:00:00', ?2)")?;
    let (orphans, mut orphans_left) = (workspaces / 100, workspaces / 100);
    let live = workspaces - orphans;
    for row in 0..rows {
        // Spread evenly over the table; an orphan's row comes right after a live one's, where there is room.
        let is_live = share(live, row + 1, rows) > share(live, row, rows);
        let is_orphan = !is_live && orphans_left > share(orphans, rows - row - 1, rows);
        let id = uuid(row);
        insert.execute((&id, (!is_live).then_some("2025-02-01 00:00:00")))?;
        if is_live || is_orphan {
            orphans_left -= u64::from(is_orphan);
            rustix::fs::mkdirat(&root, &id, Mode::RWXU)?;
            rustix::fs::utimensat(&root, &id, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    drop(insert);
    ensure!(orphans_left == 0, "too few deleted rows for {orphans} orphans: give more --rows");
    Ok(transaction.commit()?)
}

/// `part` of `of` parts of `whole`, rounded down.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    whole * part / of
}

/// A UUID of version 4 that follows from `number`.
fn uuid(number: u64) -> String {
    let (high, low) = (scatter(number * 2), scatter(number * 2 + 1));
    uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid().to_string()
}

/// The output function of SplitMix64: one to one, and without a visible order.
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A resource as people write it, with breakers wide enough that the plan is not held and so does all of its work.
pub fn resource(dir: &Path, name: &str) -> Value {
    json!({
        "apiVersion": "hygiene.dev/v1alpha1",
        "kind": "WorkspaceHygiene",
        "metadata": {"name": name},
        "spec": {
            "mode": "Report",
            "volume": {"path": dir.join("volume")},
            "workspaces": {
                "pattern": "^(?<session>[0-9a-f-]{36})$",
                "minAge": "24h",
                "activity": "Modified",
                "keep": ["shared-*"],
            },
            "sessions": {
                "sqlite": {"path": dir.join("sessions.db")},
                "liveQuery": "select id from session where deleted_at is null",
                "timeout": "10m",
            },
            "limits": {"breaker": {"maxOrphans": 1_000_000, "maxOrphanPercent": 100}},
        },
    })
}

fn spec(dir: &Path, resource: &Value) -> Result<OsString> {
    let name = resource["metadata"]["name"].as_str().context("a resource has a name")?;
    let path = dir.join(format!("{name}.json"));
    fs::write(&path, resource.to_string())?;
    Ok(path.into())
}
