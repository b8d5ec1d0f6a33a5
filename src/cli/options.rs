//! Options that every command takes.

use std::fmt;
use std::path::{Component, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use tracing::level_filters::LevelFilter;

use super::secrets::{Given, given};
use crate::act::LockWait;
use crate::api::DurationString;
use crate::sweep::Settling;

/// The heading they stand below in `--help`.
const HEADING: &str = "Global options";

/// Options that every command takes.
#[derive(Args, Clone, Debug)]
pub(super) struct Global {
    /// The spec: a file, `-` for standard input, `env:VAR` for an environment variable, or `NAMESPACE/NAME` for a
    /// WorkspaceHygiene of a cluster
    ///
    /// May be given several times, and each may hold several documents. All of them are checked before anything runs.
    /// NAMESPACE/NAME is read from the API server of KUBECONFIG, of ~/.kube/config or of the pod's ServiceAccount, where there
    /// is no file with that name: ./NAMESPACE/NAME is always a file. Before each step it is asked for again, at most once a
    /// second, and when it changed, was suspended or deleted, or does not answer, nothing more is done.
    #[arg(short, long = "file", value_name = "SPEC", global = true, help_heading = HEADING, value_hint = ValueHint::FilePath)]
    pub(super) file: Vec<String>,

    /// How to print the result on standard output
    #[arg(short, long, value_enum, default_value_t, global = true, help_heading = HEADING)]
    pub(super) output: Output,

    /// When to use colours; `auto` also respects NO_COLOR
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true, help_heading = HEADING)]
    pub(super) color: When,

    /// Show no progress bar
    #[arg(long, global = true, help_heading = HEADING)]
    pub(super) no_progress: bool,

    /// How to write the log on standard error [default: text; of `run` json where that is no terminal]
    #[arg(long, value_enum, global = true, help_heading = HEADING)]
    pub(super) log_format: Option<LogFormat>,

    /// What to log: off, error, warn, info, debug or trace [default: what RUST_LOG says, else
    /// warn, of `run` info]
    #[arg(long, value_name = "LEVEL", env = "HYGIENE_LOG", value_parser = level, global = true, help_heading = HEADING)]
    pub(super) log_level: Option<LevelFilter>,

    /// A level, or directives such as hyper=info, where --log-level says nothing
    #[arg(long, env = "RUST_LOG", hide = true, global = true)]
    pub(super) rust_log: Option<String>,

    /// The cluster or account this runs for; together with namespace and name of the resource it owns a volume
    #[arg(long, value_name = "NAME", env = "HYGIENE_CLUSTER", default_value = "local", global = true, help_heading = HEADING)]
    pub(super) cluster: String,

    /// Where to remember what mode Report saw, since it writes nothing to the volume [default: hygiene in the user's state
    /// directory, $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "HYGIENE_STATE_DIR", global = true, help_heading = HEADING, value_hint = ValueHint::DirPath)]
    pub(super) state_dir: Option<PathBuf>,

    /// Where the value of a secretKeyRef is: `NAME/KEY=env:VAR` or `NAME/KEY=file:PATH`
    ///
    /// May be given several times. It is read anew for each connection, so a file may be renewed while this runs.
    #[arg(long, value_name = "KEY=PLACE", value_parser = given, hide_possible_values = true, global = true, help_heading = HEADING)]
    pub(super) secret: Vec<Given>,

    /// Where the value of a configMapKeyRef is, in the same form
    #[arg(long, value_name = "KEY=PLACE", value_parser = given, global = true, help_heading = HEADING)]
    pub(super) config_map: Vec<Given>,

    /// Where the volume of a persistentVolumeClaim is mounted here: `CLAIM=PATH`
    ///
    /// May be given several times. Its directory that spec.volume.persistentVolumeClaim.subPath names is reached over no symlink.
    #[arg(long, value_name = "CLAIM=PATH", global = true, help_heading = HEADING)]
    pub(super) claim_mount: Vec<ClaimMount>,

    /// Accept a minAge below 1h and a retention below 24h in mode Enforce. For tests and the demo only: with times this
    /// short a workspace goes before anybody can miss it
    #[arg(long, global = true, help_heading = HEADING)]
    pub(super) unsafe_short_times: bool,
}

/// Where a claim is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimMount {
    pub(super) claim: String,
    pub(super) path: PathBuf,
}

impl fmt::Display for ClaimMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.claim, self.path.display())
    }
}

impl FromStr for ClaimMount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write CLAIM=PATH, with an absolute path without . and ..";
        let (claim, path) = text.split_once('=').ok_or_else(|| format!("has no equals sign; {FORM}"))?;
        let path = PathBuf::from(path);
        let plain = path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
        if claim.is_empty() || !path.is_absolute() || !plain {
            return Err(FORM.into());
        }
        Ok(Self { claim: claim.into(), path })
    }
}

/// How to print the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Table,
    /// One JSON object; of several resources a `List`.
    Json,
    /// YAML; of several resources one document each.
    Yaml,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to write the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How long to wait for the lock on the volume.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct LockOptions {
    /// How long to wait if somebody else works on the volume, such as 0s or 5m; after that the exit code is 4. A service that
    /// works on it is asked to step aside meanwhile
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    lock_timeout: Duration,
}

impl LockOptions {
    /// How to wait.
    pub(super) fn wait(self) -> LockWait {
        LockWait { timeout: self.lock_timeout, asks: true }
    }
}

/// Whether to wait until the service has settled.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct SettleOptions {
    /// Do not wait until the service has been healthy for spec.containers.settle; it must be healthy now all the same.
    /// For when somebody knows that it has been well for that long
    #[arg(long)]
    no_settle: bool,
}

impl SettleOptions {
    /// What a sweep does that knows nothing of how the service has been.
    pub(super) fn settling(self) -> Settling {
        if self.no_settle { Settling::Skip } else { Settling::Wait }
    }
}

/// A duration as a spec writes it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    DurationString::from(text).parse().map_err(|error| error.to_string())
}

fn level(text: &str) -> Result<LevelFilter, String> {
    // The type itself would also take numbers, whose order nobody remembers.
    let known = ["off", "error", "warn", "info", "debug", "trace"].contains(&text.to_ascii_lowercase().as_str());
    let parsed = text.parse().ok().filter(|_| known);
    parsed.ok_or_else(|| "is no level; write off, error, warn, info, debug or trace".to_owned())
}
