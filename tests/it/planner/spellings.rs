//! Names of entries and ids of sessions that are easily taken for one another.

/// One id in the ways two systems may spell it.
pub const SPELLINGS: [&[&str]; 8] = [
    &[
        "0a1b2c3d-0000-4000-8000-00000000abcd",
        "0A1B2C3D-0000-4000-8000-00000000ABCD",
        "0a1b2c3d00004000800000000000abcd",
        "{0a1b2c3d-0000-4000-8000-00000000abcd}",
        "urn:uuid:0a1b2c3d-0000-4000-8000-00000000abcd",
        " 0a1b2c3d-0000-4000-8000-00000000abcd",
    ],
    &["c0ffee0a", "C0FFEE0A", "c0FFee0a", "c0ffee0a "],
    &["caf\u{e9}", "cafe\u{301}", "CAF\u{c9}", "CAFE\u{301}"],
    &["stra\u{df}e", "strasse", "STRASSE"],
    &["kilo", "\u{212a}ilo", "KILO", "\u{ff4b}ilo"],
    &["alpha", "Alpha", "ALPHA", "alpha\u{a0}"],
    &["00000010", "0000-0010"],
    &["b2", "B2"],
];

/// Names of entries that yield no id, or one that is no id, in one pattern or another.
pub const ODD_NAMES: [&[u8]; 12] = [
    b".hygiene",
    b"\xff\xfe",
    b"ws-\xff",
    b"shared-cache",
    b"lost+found",
    b"ws-",
    b"ws-.",
    b"ws-..",
    b"a\nb",
    b"tmp-x",
    b"README.md",
    b"ws-apple",
];
