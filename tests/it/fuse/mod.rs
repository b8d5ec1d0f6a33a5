//! A file system that behaves as EFS does, over a directory: each call takes its time, answers late, wrongly or never,
//! and names and attributes may be stale. The directory behind it is what the server knows; a test that changes it there
//! is another client. Needs root, since it is mounted by mount(2).

mod attributes;
mod control;
mod gate;
mod handles;
mod inodes;
mod ops;
pub mod rules;
mod serve;
mod server;

pub use control::{Control, TimeOuts};
pub use ops::{Cost, Op};

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use fuser::{BackgroundSession, Config, Session, SessionACL};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use serve::Server;

/// Threads that serve calls. More than a client's 64 slots, so that the limit on calls in flight is the one that is set.
const THREADS: usize = 72;

/// A mounted file system; dropping it unmounts it, whoever still has files open there.
pub struct Fuse {
    at: PathBuf,
    backing: PathBuf,
    control: Control,
    session: Option<BackgroundSession>,
    /// Asks the kernel to forget names, which no thread may do that serves a call: the kernel may hold the directory.
    forgetting: Option<JoinHandle<()>>,
}

impl Fuse {
    /// Mounts what is in `backing` at `at`; both are directories.
    pub fn mount(backing: &Path, at: &Path) -> Self {
        raise_limit_on_open_files();
        let (backing, at) = (backing.canonicalize().unwrap(), at.canonicalize().unwrap());
        let control = Control::new();
        let (forgettable, to_forget) = channel();
        let server = Server::new(&backing, control.clone(), forgettable).unwrap();
        let device = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .unwrap_or_else(|e| panic!("/dev/fuse: {e}; the tests need root and the kernel's fuse module"));
        let options = format!(
            "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
            device.as_raw_fd(),
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw()
        );
        let options = CString::new(options).unwrap();
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        rustix::mount::mount("workspaces", &at, "fuse.efs", flags, options.as_c_str())
            .unwrap_or_else(|e| panic!("mount {}: {e}; the tests need root", at.display()));
        // From here on a failure unmounts.
        let mut fuse = Self { at, backing, control, session: None, forgetting: None };
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(THREADS);
        let session = Session::from_fd(server, device, SessionACL::All, config).unwrap();
        let session = session.spawn().unwrap();
        let kernel = session.notifier();
        fuse.session = Some(session);
        fuse.forgetting = Some(std::thread::spawn(move || {
            for (dir, name) in to_forget {
                // An entry that has another name meanwhile is not found, and stays.
                _ = kernel.inval_entry(dir, &name);
            }
        }));
        fuse
    }

    /// Mounts the folder `backing` in `dir`, made for it, at `at`.
    pub fn beside(dir: &Path, at: &Path) -> Self {
        let backing = dir.join("backing");
        std::fs::create_dir(&backing).unwrap();
        Self::mount(&backing, at)
    }

    /// Whether the environment asks for every world to be on such a mount: `WORLD_FS=fuse`.
    pub fn asked_for() -> bool {
        match std::env::var("WORLD_FS").as_deref() {
            Ok("fuse") => true,
            Ok("") | Err(_) => false,
            Ok(other) => panic!("WORLD_FS={other}: is fuse, or not set"),
        }
    }

    /// What changes how the file system behaves.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The directory behind it, as the server and other clients see it.
    pub fn backing(&self) -> &Path {
        &self.backing
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.control.close();
        // Forced, which ends the connection: callers that still wait get an error, also in other mount namespaces.
        let unmounted = rustix::mount::unmount(&self.at, UnmountFlags::FORCE | UnmountFlags::DETACH);
        let served = self.session.take().map(BackgroundSession::join);
        // Ends with the server, which tells it what to forget.
        let forgot = self.forgetting.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert_eq!(unmounted, Ok(()), "unmounting {}", self.at.display());
            // A thread of the server that was just taking or answering a call finds its connection gone.
            let gone = |e: &std::io::Error| {
                matches!(Errno::from_io_error(e), Some(Errno::NODEV | Errno::CONNABORTED | Errno::NOTCONN))
            };
            let failed = served.and_then(Result::err).filter(|e| !gone(e));
            assert!(failed.is_none(), "the server failed: {failed:?}");
            assert!(forgot.is_none_or(|end| end.is_ok()), "the thread that forgets names panicked");
            assert_eq!(self.control.panicked(), None, "a hook panicked");
        }
    }
}

/// Each name the kernel remembers is a file descriptor of the server's.
fn raise_limit_on_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}
