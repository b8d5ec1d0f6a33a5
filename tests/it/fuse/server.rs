//! The server: each call is done on held inodes of the backing directory, never on paths.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fuser::*;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::Op;
use super::attributes::{NOTHING, attributes, timestamps};
use super::handles::{self, Directory, Handle};
use super::inodes::Inode;
use super::serve::{Created, Server, tell_data, tell_done};

/// How a file is opened in the backing directory. The kernel appends and truncates by itself; appending here as well
/// would put what it writes elsewhere than it said.
fn open_flags(flags: i32) -> OFlags {
    let not_ours = OFlags::CREATE | OFlags::EXCL | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::TRUNC | OFlags::APPEND;
    OFlags::from_bits_retain(flags.cast_unsigned()) - not_ours - OFlags::DIRECT
}

impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_PARALLEL_DIROPS;
        config.add_capabilities(wanted).map_err(|missing| io::Error::other(format!("{missing:?}")))?;
        _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.serve_entry(Op::Lookup, parent, name, |dir| dir.find(name));
        let absences = self.control.settings().time_outs.absences;
        if let (Err(fuser::Errno::ENOENT), false) = (&found, absences.is_zero()) {
            // Inode number 0 is how FUSE says that there is nothing, and for how long to believe it.
            return reply.entry_with_ttls(&Duration::ZERO, &absences, &NOTHING, Generation(0));
        }
        self.tell(found, parent, name, reply);
    }

    fn forget(&self, _: &Request, number: INodeNo, lookups: u64) {
        self.inodes.forget(number, lookups);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.tell_attributes(self.serve_inode(Op::Getattr, number, Inode::stat), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let set = self.serve_inode(Op::Setattr, number, |inode| {
            inode.stat()?;
            if uid.is_some() || gid.is_some() {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                rustix::fs::chownat(&inode.fd, "", uid, gid, AtFlags::EMPTY_PATH)?;
            }
            if let Some(mode) = mode {
                let (fds, link) = self.inodes.itself(inode);
                rustix::fs::chmodat(fds, link, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
            }
            match (size, handle) {
                (Some(size), Some(handle)) => rustix::fs::ftruncate(self.handles.get(handle)?.file()?, size)?,
                (Some(size), None) => rustix::fs::ftruncate(self.inodes.open(inode, OFlags::WRONLY)?, size)?,
                (None, _) => {}
            }
            if atime.is_some() || mtime.is_some() {
                let times = timestamps(atime, mtime, self.control.settings().ahead);
                rustix::fs::utimensat(&inode.fd, "", &times, AtFlags::EMPTY_PATH)?;
            }
            inode.stat()
        });
        self.tell_attributes(set, reply);
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        let target = self.serve_inode(Op::Readlink, number, |inode| {
            inode.stat()?;
            rustix::fs::readlinkat(&inode.fd, "", Vec::new())
        });
        tell_data(target.map(std::ffi::CString::into_bytes), reply);
    }

    fn mknod(&self, r: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, device: u32, reply: ReplyEntry) {
        let made = self.serve_entry(Op::Mknod, parent, name, |dir| {
            self.made(r, dir, name, Some(mode), || {
                let kind = rustix::fs::FileType::from_raw_mode(mode);
                rustix::fs::mknodat(&dir.fd, name, kind, Mode::from_raw_mode(mode & 0o7777), device.into())
            })
        });
        self.tell(made, parent, name, reply);
    }

    fn mkdir(&self, r: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let made = self.serve_entry(Op::Mkdir, parent, name, |dir| {
            self.made(r, dir, name, Some(mode), || {
                rustix::fs::mkdirat(&dir.fd, name, Mode::from_raw_mode(mode & 0o7777))
            })
        });
        self.tell(made, parent, name, reply);
    }

    fn symlink(&self, r: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let made = self.serve_entry(Op::Symlink, parent, name, |dir| {
            self.made(r, dir, name, None, || rustix::fs::symlinkat(target, &dir.fd, name))
        });
        self.tell(made, parent, name, reply);
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.serve(Op::Link, &[(number, OsStr::new("")), (parent, name)], || {
            let (inode, dir) = (self.inodes.get(number)?, self.inodes.get(parent)?);
            let (fds, link) = self.inodes.itself(&inode);
            rustix::fs::linkat(fds, link, &dir.fd, name, AtFlags::SYMLINK_FOLLOW)?;
            dir.find(name)
        });
        self.tell(linked, parent, name, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.serve_entry(Op::Unlink, parent, name, |dir| {
            self.inodes.removing(dir, name, || rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()))
        });
        tell_done(done, reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let done = self.serve_entry(Op::Rmdir, parent, name, |dir| {
            self.inodes.removing(dir, name, || rustix::fs::unlinkat(&dir.fd, name, AtFlags::REMOVEDIR))
        });
        tell_done(done, reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let done = self.serve(Op::Rename, &[(parent, name), (new_parent, new_name)], || {
            let (from, to) = (self.inodes.get(parent)?, self.inodes.get(new_parent)?);
            if !flags.is_empty() && !self.control.settings().takes_rename_flags {
                return Err(Errno::INVAL);
            }
            let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
            let rename = || rustix::fs::renameat_with(&from.fd, name, &to.fd, new_name, flags);
            // Without flags it may replace what has the new name.
            if flags.is_empty() { self.inodes.removing(&to, new_name, rename) } else { rename() }
        });
        tell_done(done, reply);
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let opened = self.serve_inode(Op::Open, number, |inode| {
            inode.stat()?;
            self.inodes.open(inode, open_flags(flags.0))
        });
        match opened {
            Ok(fd) => reply.opened(self.handles.keep(Handle::File(File::from(fd))), FopenFlags::empty()),
            Err(e) => reply.error(e),
        }
    }

    fn create(&self, r: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, flags: i32, reply: ReplyCreate) {
        let created = self.serve_entry(Op::Create, parent, name, |dir| -> Result<Created, Errno> {
            let exclusive = OFlags::from_bits_retain(flags.cast_unsigned()).contains(OFlags::EXCL);
            let made = self.made(r, dir, name, Some(mode), || {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                rustix::fs::openat(&dir.fd, name, flags, Mode::from_raw_mode(mode & 0o7777)).map(drop)
            });
            let found = match made {
                Err(Errno::EXIST) if !exclusive => dir.find(name)?,
                other => other?,
            };
            let fd = self.inodes.open(&found.0, open_flags(flags))?;
            Ok((found, fd))
        });
        match created {
            Ok((found, fd)) => {
                let settings = self.control.settings();
                // The answer has one time-out for both.
                let time_out = settings.time_outs.attributes.min(settings.time_outs.names);
                let handle = self.handles.keep(Handle::File(File::from(fd)));
                let attr = attributes(&found.1, settings.ahead);
                self.inodes.remember(found, parent, name);
                reply.created(&time_out, &attr, Generation(0), handle, FopenFlags::empty());
            }
            Err(e) => reply.error(e),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = |handle: &Handle| handles::read(handle.file()?, offset, size);
        tell_data(self.serve_handle(Op::Read, number, handle, read), reply);
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.serve_handle(Op::Write, number, handle, |handle| handles::write(handle.file()?, offset, data)) {
            Ok(written) => reply.written(written),
            Err(e) => reply.error(e),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = rustix::fs::FallocateFlags::from_bits_retain(mode.cast_unsigned());
        let allocate = |handle: &Handle| rustix::fs::fallocate(handle.file()?, mode, offset, length);
        tell_done(self.serve_handle(Op::Fallocate, number, handle, allocate), reply);
    }

    fn fsync(&self, _: &Request, number: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        let sync = |handle: &Handle| rustix::fs::fsync(handle.file()?);
        tell_done(self.serve_handle(Op::Fsync, number, handle, sync), reply);
    }

    fn flush(&self, _: &Request, number: INodeNo, handle: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        tell_done(self.serve_handle(Op::Flush, number, handle, |_| Ok(())), reply);
    }

    fn release(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let done = self.serve_handle(Op::Release, number, handle, |_| Ok(()));
        self.handles.close(handle);
        tell_done(done, reply);
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.serve_inode(Op::Opendir, number, |inode| {
            inode.stat()?;
            self.inodes.open(inode, OFlags::RDONLY | OFlags::DIRECTORY)
        });
        match opened {
            // Without FOPEN_CACHE_DIR the kernel keeps no listing.
            Ok(fd) => reply.opened(self.handles.keep(Handle::Directory(Directory::new(fd))), FopenFlags::empty()),
            Err(e) => reply.error(e),
        }
    }

    fn readdir(&self, _: &Request, number: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.serve_handle(Op::Readdir, number, handle, |handle| handle.directory()?.read(offset)) {
            Ok(entries) => {
                handles::fill(&mut reply, &entries, offset);
                reply.ok();
            }
            Err(e) => reply.error(e),
        }
    }

    fn releasedir(&self, _: &Request, number: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        let done = self.serve_handle(Op::Releasedir, number, handle, |_| Ok(()));
        self.handles.close(handle);
        tell_done(done, reply);
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        let sync = |handle: &Handle| rustix::fs::fsync(&handle.directory()?.fd);
        tell_done(self.serve_handle(Op::Fsyncdir, number, handle, sync), reply);
    }

    fn statfs(&self, _: &Request, number: INodeNo, reply: ReplyStatfs) {
        let stat = self.serve_inode(Op::Statfs, number, |inode| rustix::fs::fstatvfs(&inode.fd));
        match stat {
            Ok(s) => {
                let (size, name, fragment) = (s.f_bsize as u32, s.f_namemax as u32, s.f_frsize as u32);
                reply.statfs(s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree, size, name, fragment);
            }
            Err(e) => reply.error(e),
        }
    }
}
