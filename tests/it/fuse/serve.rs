//! How every call is served and answered.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use fuser::{FileHandle, Generation, INodeNo, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, Request};
use rustix::fs::{AtFlags, Gid, Mode, Statx, Uid};
use rustix::io::Errno;

use super::attributes::attributes;
use super::handles::{Handle, Handles};
use super::inodes::{Forgettable, Found, Inode, Inodes};
use super::{Control, Op};

pub struct Server {
    pub(super) control: Control,
    pub(super) inodes: Inodes,
    pub(super) handles: Handles,
}

/// A created entry with its open file.
pub(super) type Created = (Found, OwnedFd);

impl Server {
    pub fn new(backing: &Path, control: Control, forgettable: Sender<Forgettable>) -> Result<Self, Errno> {
        Ok(Self { control, inodes: Inodes::new(backing, forgettable)?, handles: Handles::default() })
    }

    /// Serves one call about `names`, each in its directory; an empty name is the inode itself.
    pub(super) fn serve<T>(
        &self,
        op: Op,
        names: &[(INodeNo, &OsStr)],
        work: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        let paths = || -> Vec<PathBuf> { names.iter().map(|(dir, name)| self.inodes.path_of(*dir, name)).collect() };
        self.control.serve(op, paths, work).map_err(|e| fuser::Errno::from_i32(e.raw_os_error()))
    }

    pub(super) fn serve_inode<T>(
        &self,
        op: Op,
        number: INodeNo,
        work: impl FnOnce(&Inode) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        self.serve(op, &[(number, OsStr::new(""))], || work(&*self.inodes.get(number)?))
    }

    pub(super) fn serve_handle<T>(
        &self,
        op: Op,
        number: INodeNo,
        handle: FileHandle,
        work: impl FnOnce(&Handle) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        self.serve(op, &[(number, OsStr::new(""))], || work(&*self.handles.get(handle)?))
    }

    /// Serves a call about `name` in the directory `parent`. In a directory another client removed nothing is absent: the
    /// directory is stale.
    pub(super) fn serve_entry<T>(
        &self,
        op: Op,
        parent: INodeNo,
        name: &OsStr,
        work: impl FnOnce(&Inode) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        self.serve(op, &[(parent, name)], || {
            let dir = self.inodes.get(parent)?;
            match work(&dir) {
                Err(Errno::NOENT) => dir.stat().and(Err(Errno::NOENT)),
                other => other,
            }
        })
    }

    /// Makes an entry with `make` and gives it to the caller, with the mode the caller asked for: the server's umask is
    /// not the caller's.
    pub(super) fn made(
        &self,
        caller: &Request,
        dir: &Inode,
        name: &OsStr,
        mode: Option<u32>,
        make: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<Found, Errno> {
        make()?;
        let (inode, stat) = dir.find(name)?;
        let set_gid = dir.stat()?.stx_mode & 0o2000 != 0;
        let owner = Some(Uid::from_raw(caller.uid())).filter(|uid| uid.as_raw() != stat.stx_uid);
        let group = Some(Gid::from_raw(caller.gid())).filter(|gid| !set_gid && gid.as_raw() != stat.stx_gid);
        if owner.is_some() || group.is_some() {
            rustix::fs::chownat(&inode.fd, "", owner, group, AtFlags::EMPTY_PATH)?;
        }
        if let Some(mode) = mode.filter(|mode| mode & 0o777 != u32::from(stat.stx_mode) & 0o777) {
            let (fds, link) = self.inodes.itself(&inode);
            let kept = u32::from(stat.stx_mode) & 0o2000;
            rustix::fs::chmodat(fds, link, Mode::from_raw_mode((mode & 0o7777) | kept), AtFlags::empty())?;
        }
        let stat = inode.stat()?;
        Ok((inode, stat))
    }

    pub(super) fn tell(&self, found: Result<Found, fuser::Errno>, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let settings = self.control.settings();
        match found {
            Ok(found) => {
                let time_outs = settings.time_outs;
                let attr = attributes(&found.1, settings.ahead);
                self.inodes.remember(found, parent, name);
                reply.entry_with_ttls(&time_outs.attributes, &time_outs.names, &attr, Generation(0));
            }
            Err(e) => reply.error(e),
        }
    }

    pub(super) fn tell_attributes(&self, stat: Result<Statx, fuser::Errno>, reply: ReplyAttr) {
        let settings = self.control.settings();
        match stat {
            Ok(stat) => reply.attr(&settings.time_outs.attributes, &attributes(&stat, settings.ahead)),
            Err(e) => reply.error(e),
        }
    }
}

pub(super) fn tell_done(done: Result<(), fuser::Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(e),
    }
}

pub(super) fn tell_data<T: AsRef<[u8]>>(data: Result<T, fuser::Errno>, reply: ReplyData) {
    match data {
        Ok(data) => reply.data(data.as_ref()),
        Err(e) => reply.error(e),
    }
}
