//! The container image, from the binary that is tested here: what is in it, and whether it works as a runtime runs it, as
//! nobody and on a root that is read-only.

mod contents;
mod runs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// An image that was built and unpacked.
struct Image {
    /// The archive.
    archive: PathBuf,
    /// What the image's configuration says.
    config: Value,
    /// The image's files.
    root: PathBuf,
    /// The list of what it is made of.
    sbom: Value,
}

/// The image, built once for all tests, where cargo wants what tests leave.
fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(|| Image::unpacked(build(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("image"))))
}

/// The archive of the image.
pub fn archive() -> &'static Path {
    &image().archive
}

/// Builds the image into an empty directory.
fn build(into: &Path) -> PathBuf {
    if into.exists() {
        fs::remove_dir_all(into).unwrap();
    }
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/image"));
    script.args(["--binary", env!("CARGO_BIN_EXE_hygiene"), "--output"]).arg(into);
    let said = output(script.env("SOURCE_DATE_EPOCH", "1767225600"));
    PathBuf::from(said.lines().find(|line| line.ends_with(".oci.tar")).unwrap())
}

/// What a command printed.
#[track_caller]
fn output(command: &mut Command) -> String {
    let ran = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{command:?}: {}\n{stderr}", ran.status);
    String::from_utf8(ran.stdout).unwrap()
}

/// Unpacks an archive, with the owners and modes that it holds.
fn unpack(archive: &Path, into: &Path) {
    fs::create_dir_all(into).unwrap();
    output(Command::new("tar").args(["--numeric-owner", "-p", "-C"]).arg(into).arg("-xf").arg(archive));
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

impl Image {
    fn unpacked(archive: PathBuf) -> Self {
        let dir = archive.parent().unwrap();
        let (layout, root) = (dir.join("layout"), dir.join("root"));
        unpack(&archive, &layout);
        let blob = |digest: &Value| layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"));
        let index = json(&layout.join("index.json"));
        let [manifest] = index["manifests"].as_array().unwrap().as_slice() else { panic!("one image: {index}") };
        let manifest = json(&blob(&manifest["digest"]));
        for layer in manifest["layers"].as_array().unwrap() {
            unpack(&blob(&layer["digest"]), &root);
        }
        let config = json(&blob(&manifest["config"]["digest"]));
        let sbom = json(&archive.with_extension("").with_extension("cdx.json"));
        Self { config: config["config"].clone(), archive, root, sbom }
    }
}
