//! The controller, as people run it, and what the kernel says of it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::resources::NAMESPACE;

pub struct Controller {
    child: Child,
    log: PathBuf,
    _folder: tempfile::TempDir,
}

/// The size of a process, in KiB.
pub struct Size {
    pub resident: u64,
    pub highest: u64,
    /// Not pages of files, which the kernel may take back at any time.
    pub own: u64,
    pub threads: u64,
}

impl Controller {
    pub fn start(hygiene: &OsStr, kubeconfig: &Path, volumes: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let mut root = volumes.as_os_str().to_owned();
        root.push(format!(":{NAMESPACE}"));
        let mut given = std::ffi::OsString::from("bench=");
        given.push(root);
        let child = Command::new(hygiene)
            .args(["controller", "--namespace", NAMESPACE, "--lease-namespace", NAMESPACE, "--listen", "127.0.0.1:0"])
            // With the usual one every resource is looked at twice in its first 90 seconds, which only takes longer.
            .args(["--startup-delay", "0s", "--log-format", "json", "--volume-root"])
            .arg(given)
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            // The image sets it to 1.
            .envs(std::env::var_os("MALLOC_ARENA_MAX").map(|arenas| ("MALLOC_ARENA_MAX", arenas)))
            .env("HYGIENE_STATE_DIR", folder.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .with_context(|| format!("{} cannot be started", hygiene.display()))?;
        Ok(Self { child, log, _folder: folder })
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("the controller ended: {:?}", fs::read_to_string(&self.log)))
    }

    pub fn size(&self) -> Result<Size> {
        let status = self.proc("status")?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let digits = line.map(|line| line.trim().trim_end_matches(" kB"));
            digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("/proc has no {name}"))
        };
        Ok(Size {
            resident: number("VmRSS")?,
            highest: number("VmHWM")?,
            own: number("RssAnon")?,
            threads: number("Threads")?,
        })
    }

    /// User and system time so far, of threads that ended as well.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // The command's name may hold spaces; after it come the fields from the third on, utime and stime as 14th and 15th.
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: u64 = after.split(' ').skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum();
        // proc(5) counts in units of which Linux shows 100 a second (`USER_HZ`), whatever the kernel's own are.
        Ok(Duration::from_secs(ticks) / 100)
    }

    /// Sweeps that ended so far.
    pub fn sweeps(&self) -> Result<usize> {
        Ok(fs::read_to_string(&self.log)?.lines().filter(|line| line.contains(r#""message":"swept""#)).count())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}
