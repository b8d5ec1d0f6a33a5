//! The calls a file server is asked.

/// One kind of call. A path walk asks [`Op::Lookup`] for each component; statx then asks [`Op::Getattr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    Lookup,
    Getattr,
    Setattr,
    Readlink,
    Mknod,
    Mkdir,
    Symlink,
    Link,
    Unlink,
    Rmdir,
    Rename,
    Open,
    Create,
    Read,
    Write,
    Fallocate,
    Fsync,
    /// close(2); unlike [`Op::Release`] its answer reaches the caller.
    Flush,
    Release,
    Opendir,
    Readdir,
    Fsyncdir,
    Releasedir,
    Statfs,
}

/// What a call costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// A question to the server.
    Read,
    /// A change that the server makes durable before it answers.
    Write,
    /// No call at all on NFS, or one that nobody waits for.
    Free,
}

impl Op {
    pub fn cost(self) -> Cost {
        match self {
            Self::Lookup | Self::Getattr | Self::Readlink | Self::Open | Self::Read | Self::Readdir | Self::Statfs => {
                Cost::Read
            }
            Self::Flush | Self::Release | Self::Opendir | Self::Releasedir => Cost::Free,
            _ => Cost::Write,
        }
    }
}
