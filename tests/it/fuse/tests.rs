//! What the file system promises to the tests that use it.

use std::fs;

use super::Fuse;

#[test]
fn smoke() {
    let temp = tempfile::tempdir().unwrap();
    let at = temp.path().join("at");
    fs::create_dir(&at).unwrap();
    let fuse = Fuse::beside(temp.path(), &at);
    fs::write(at.join("a"), "b").unwrap();
    assert_eq!(fs::read(fuse.backing().join("a")).unwrap(), b"b");
}
