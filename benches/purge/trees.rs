//! The trees that are removed.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Mode, OFlags, mkdirat, openat};

/// What a tree looks like, and how many entries it has.
#[derive(Clone, Copy)]
pub enum Shape {
    /// So many files in packages in packages, as a package manager leaves them: eleven directories deep.
    Packages(u64),
    /// So many files in one directory.
    Flat(u64),
    /// So many directories in each other.
    Chain(u64),
}

/// Packages in each other, from the top of the tree down.
const NESTED: u64 = 5;
/// Files of a package in each of its two directories.
const FILES: u64 = 10;

impl Shape {
    /// Makes it at `at`; how many entries it has, itself among them.
    pub fn make(self, at: &Path) -> Result<u64> {
        fs::create_dir(at)?;
        match self {
            Self::Packages(files) => {
                let packages = files / (NESTED * FILES * 2);
                let mut entries = 1;
                for package in 0..packages {
                    entries += nested(&at.join(format!("package-{package}")))?;
                }
                Ok(entries)
            }
            Self::Flat(files) => {
                for n in 0..files {
                    fs::File::create(at.join(format!("entry-{n}")))?;
                }
                Ok(files + 1)
            }
            Self::Chain(depth) => {
                let mut folder = openat(rustix::fs::CWD, at, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
                for _ in 1..depth {
                    mkdirat(&folder, "d", Mode::RWXU)?;
                    folder = openat(&folder, "d", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
                }
                Ok(depth)
            }
        }
    }
}

/// A package, and the packages in it.
fn nested(top: &Path) -> Result<u64> {
    let (mut package, mut entries) = (top.to_owned(), 0);
    for depth in 0..NESTED {
        if depth > 0 {
            package.push("node_modules");
            fs::create_dir(&package)?;
            package.push("package");
            entries += 1;
        }
        let library = package.join("lib");
        fs::create_dir(&package)?;
        fs::create_dir(&library)?;
        for folder in [&package, &library] {
            for n in 0..FILES {
                fs::write(folder.join(format!("file-{n}.js")), "x")?;
            }
        }
        entries += 2 + 2 * FILES;
    }
    Ok(entries)
}
