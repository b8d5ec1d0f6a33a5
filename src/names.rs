//! Newtypes for the names the system handles, so that no name of one kind is ever used as another.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;
use unicode_normalization::UnicodeNormalization;

/// The longest name a directory entry can have, in bytes (`NAME_MAX` on Linux, and the limit EFS documents).
pub const NAME_MAX: usize = 255;

/// Bytes in hexadecimal, two lower-case digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The id of a session, as the session store spells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// Takes an id exactly as it was read.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Becomes another id, in the memory that it has: a store hands over millions of them, one after the other.
    pub fn set(&mut self, id: &str) {
        self.0.clear();
        self.0.push_str(id);
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a directory could carry this id as its name or as part of it: not empty, one path component, no NUL,
    /// at most [`NAME_MAX`] bytes.
    pub fn is_usable(&self) -> bool {
        let id = &self.0;
        !id.is_empty()
            && id.len() <= NAME_MAX
            && id != "."
            && id != ".."
            && memchr::memchr2(b'/', 0, id.as_bytes()).is_none()
    }

    /// The id without the differences two systems may disagree on: case, surrounding space, Unicode form, and the
    /// braces, `urn:uuid:` prefix and dashes of a UUID. Two ids that agree here and differ in [`Self::as_str`] are a
    /// near match, and a near match is kept.
    pub fn canonical(&self) -> String {
        match canonical(&self.0) {
            Canonical::Uuid(digits) => String::from_utf8_lossy(&digits).into_owned(),
            Canonical::Text(text) => text.into_owned(),
        }
    }

    /// The hash of [`Self::canonical`], for which the usual id needs no memory of its own.
    pub fn canonical_hash(&self) -> u64 {
        match canonical(&self.0) {
            Canonical::Uuid(digits) => hash(&digits),
            Canonical::Text(text) => hash(text.as_bytes()),
        }
    }
}

/// See [`SessionId::canonical`].
enum Canonical<'a> {
    /// The 32 digits of a UUID in lower case.
    Uuid([u8; 32]),
    Text(Cow<'a, str>),
}

fn canonical(id: &str) -> Canonical<'_> {
    let id = id.trim();
    if let Some(digits) = uuid_digits(id) {
        return Canonical::Uuid(digits);
    }
    if id.is_ascii() {
        let is_lower = !id.bytes().any(|byte| byte.is_ascii_uppercase());
        return Canonical::Text(if is_lower { id.into() } else { id.to_ascii_lowercase().into() });
    }
    let folded: String = caseless::default_case_fold_str(id).nfkc().collect();
    // What folding makes of it may be a UUID: full-width digits are.
    match uuid_digits(&folded) {
        Some(digits) => Canonical::Uuid(digits),
        None => Canonical::Text(folded.into()),
    }
}

/// The 32 digits of a UUID in lower case, however it is written; `None` for anything else.
fn uuid_digits(id: &str) -> Option<[u8; 32]> {
    const URN: &str = "urn:uuid:";
    let bare = match id.get(..URN.len()) {
        Some(prefix) if prefix.eq_ignore_ascii_case(URN) => &id[URN.len()..],
        _ => id,
    };
    let bare = bare.strip_prefix('{').and_then(|b| b.strip_suffix('}')).unwrap_or(bare);
    if let Some(digits) = bare.as_bytes().first_chunk().filter(|_| bare.len() == 36).and_then(usual_digits) {
        return Some(digits);
    }
    // One place more than there are digits, for a dash that follows the last.
    let (mut digits, mut count) = ([0; 33], 0);
    for byte in bare.bytes() {
        let digit = HEXADECIMAL[usize::from(byte)];
        if digit == 0 {
            return None;
        }
        *digits.get_mut(count)? = digit;
        count += usize::from(digit != b'-');
    }
    if count == 32 { digits.first_chunk().copied() } else { None }
}

/// The digits of a UUID that has its dashes where they usually are: a store hands over millions of these, and without a
/// branch in the loop each takes a few nanoseconds.
fn usual_digits(id: &[u8; 36]) -> Option<[u8; 32]> {
    let mut digits = [0; 32];
    let (mut to, mut from) = (0, 0);
    for length in [8, 4, 4, 4, 12] {
        digits[to..to + length].copy_from_slice(&id[from..from + length]);
        to += length;
        from += length + 1;
    }
    let are_dashes = [8, 13, 18, 23].iter().all(|at| id[*at] == b'-');
    let mut are_digits = true;
    for digit in &mut digits {
        *digit = HEXADECIMAL[usize::from(*digit)];
        are_digits &= *digit > b'-';
    }
    (are_dashes && are_digits).then_some(digits)
}

/// Hexadecimal digits in lower case, dashes, and 0 for all else. Asked some hundred million times in a sweep over a million
/// workspaces, and a comparison with `a` is one that no processor can predict.
const HEXADECIMAL: [u8; 256] = {
    let mut table = [0; 256];
    let digits = b"0123456789abcdef-";
    let mut next = 0;
    while next < digits.len() {
        table[digits[next] as usize] = digits[next];
        table[digits[next].to_ascii_uppercase() as usize] = digits[next];
        next += 1;
    }
    table
};

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A 64-bit hash of an id. A collision makes an orphan look live, so it can only keep: nobody gains by making one, and a
/// fast hash that does not guard against that will do.
pub fn id_hash(id: &str) -> u64 {
    hash(id.as_bytes())
}

/// A 64-bit hash of a condemned tree, or of the entry `top` at the top of it: by it those who purge side by side share them. The
/// same on every machine and in every version, since two of these may be at work on one volume.
pub fn share_hash(tree: &EntryId, top: Option<&OsStr>) -> u64 {
    let top = top.map(OsStr::as_bytes).unwrap_or_default();
    // No name is empty or holds a slash, so that no two of them are the same bytes.
    hash(&[tree.as_str().as_bytes(), b"/", top].concat())
}

fn hash(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// The name of an entry directly below the volume's root: any bytes a file system allows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName(Box<OsStr>);

impl EntryName {
    /// Takes a name as the directory listing gave it.
    pub fn new(name: impl Into<OsString>) -> Self {
        Self(name.into().into_boxed_os_str())
    }

    /// The name as the file system knows it.
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// The name as text, or `None` where it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.0.to_str()
    }
}

impl fmt::Display for EntryName {
    /// Prints the name on one line: bytes that are not UTF-8 become U+FFFD, control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string_lossy().chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

impl fmt::Debug for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Names a quarantine entry, its folder below `.hygiene/quarantine/` or `.hygiene/purging/`, and its journal records.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(String);

/// Names one sweep in the journal and in reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SweepId(String);

/// The hash of a plan over the resource, the volume, the breaker and all orphans: 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanHash(String);

macro_rules! token {
    ($t:ty) => {
        impl $t {
            /// Takes a token as it was written.
            pub fn new(token: impl Into<String>) -> Self {
                Self(token.into())
            }

            /// The token as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

token!(EntryId);
token!(SweepId);
token!(PlanHash);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_that_two_systems_would_spell_apart_agree_in_canonical_form() {
        let plain = SessionId::new("0a1b2c3d-0000-4000-8000-00000000abcd").canonical();
        for spelt in [
            "0A1B2C3D-0000-4000-8000-00000000ABCD",
            "{0a1b2c3d-0000-4000-8000-00000000abcd}",
            "urn:uuid:0a1b2c3d-0000-4000-8000-00000000abcd",
            "0a1b2c3d00004000800000000000abcd",
            "  0a1b2c3d-0000-4000-8000-00000000abcd\n",
        ] {
            assert_eq!(SessionId::new(spelt).canonical(), plain, "{spelt:?}");
        }
        assert_eq!(SessionId::new("e\u{301}t\u{e9}").canonical(), SessionId::new("\u{c9}t\u{e9}").canonical());
        assert_ne!(SessionId::new("a-b").canonical(), SessionId::new("ab").canonical());
    }

    #[test]
    fn the_hash_of_the_canonical_form_is_that_of_its_text() {
        let canonical = |id: &str| match uuid_of_any_form(id.trim()) {
            Some(digits) => digits,
            None => {
                let folded: String = caseless::default_case_fold_str(id.trim()).nfkc().collect();
                uuid_of_any_form(&folded).unwrap_or(folded)
            }
        };
        let ids = proptest::prop_oneof![
            any::<String>(),
            "[ ]?(urn:uuid:|URN:uuid:)?[{]?[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}-?[}]?[\\n]?",
            "[A-Za-z0-9_ -]{0,40}",
            "[0-9\u{ff10}-\u{ff19}a-f-]{30,38}",
        ];
        proptest!(|(id in ids)| {
            let as_text = canonical(&id);
            let id = SessionId::new(id);
            prop_assert_eq!(id.canonical(), &*as_text);
            prop_assert_eq!(id.canonical_hash(), id_hash(&as_text));
        });
    }

    /// What [`uuid_digits`] does, without its table.
    fn uuid_of_any_form(id: &str) -> Option<String> {
        let lower = id.to_ascii_lowercase();
        let bare = lower.strip_prefix("urn:uuid:").unwrap_or(&lower);
        let bare = bare.strip_prefix('{').and_then(|bare| bare.strip_suffix('}')).unwrap_or(bare);
        let digits = bare.replace('-', "");
        (digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digits)
    }

    #[test]
    fn shares_are_the_same_in_every_version() {
        let tree = EntryId::new("01a20abb-23f1-73a5-ac20-c717e910ef1a");
        let shares = [None, Some("src"), Some("node_modules")].map(|top| share_hash(&tree, top.map(OsStr::new)));
        assert_eq!(shares, [1_278_528_825_533_573_768, 1_498_681_806_951_385_780, 14_467_590_198_886_115_188]);
    }

    #[test]
    fn an_id_that_cannot_be_one_path_component_is_unusable() {
        let long = "x".repeat(NAME_MAX + 1);
        for id in ["", ".", "..", "a/b", "../x", "a\0b", long.as_str()] {
            assert!(!SessionId::new(id).is_usable(), "{id:?}");
        }
        assert!(SessionId::new("a..b").is_usable());
    }
}
