//! `workspaces.pattern` and `workspaces.keep`: what a name means must never be in doubt.

use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use regex::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::faults::Faults;
use super::{KeepGlobs, NamePattern};

/// Longest pattern, as in the schema.
const MAX_CHARACTERS: usize = 512;
/// Largest compiled pattern in bytes: a Unicode class repeated 36 times is some 100 kB.
const MAX_COMPILED: usize = 4 << 20;
/// The example a fault shows.
const EXAMPLE: &str = "^(?<session>[0-9a-f-]{36})$";

/// Compiles `pattern`, if whole names match it or nothing does, and it has the group `session` and no other.
pub(super) fn name_pattern(pattern: &str) -> Result<NamePattern, String> {
    if pattern.is_empty() || pattern.chars().count() > MAX_CHARACTERS {
        return Err(format!("must have 1 to {MAX_CHARACTERS} characters"));
    }
    // The syntax tree, not the text, says whether it is anchored: `^a|b$` and `(?m)^a$` look as if they were.
    let tree = ParserBuilder::new().nest_limit(50).build().parse(pattern).map_err(|error| not_a_pattern(&error))?;
    let properties = tree.properties();
    if !properties.look_set_prefix().contains(Look::Start) || !properties.look_set_suffix().contains(Look::End) {
        return Err(format!(
            "is not anchored: every alternative must begin with ^ and end with $, without (?m), as in {EXAMPLE}"
        ));
    }
    if captures_repeatedly(&tree, false) {
        return Err(format!(
            "repeats its group session, so that only a part of the name would be the id; put the repetition inside the group, as in {EXAMPLE}"
        ));
    }
    let regex = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|_| format!("is too large once compiled; repeat less, as in {EXAMPLE}"))?;
    one_group_named_session(&regex)?;
    Ok(NamePattern { regex: Arc::new(regex), around: lengths_around_the_group(&tree) })
}

/// How many bytes come before the group and after it, where these are the same in every name that matches.
fn lengths_around_the_group(tree: &Hir) -> Option<(usize, usize)> {
    let HirKind::Concat(parts) = tree.kind() else { return None };
    let group = parts.iter().position(|part| matches!(part.kind(), HirKind::Capture(_)))?;
    let length = |parts: &[Hir]| {
        parts.iter().try_fold(0_usize, |sum, part| {
            let (least, most) = (part.properties().minimum_len()?, part.properties().maximum_len()?);
            if least == most { sum.checked_add(least) } else { None }
        })
    };
    Some((length(&parts[..group])?, length(&parts[group + 1..])?))
}

/// Whether a group is inside a repetition: it would then hold what the last round matched, a part of the id.
fn captures_repeatedly(tree: &Hir, repeated: bool) -> bool {
    match tree.kind() {
        HirKind::Capture(capture) => repeated || captures_repeatedly(&capture.sub, repeated),
        HirKind::Repetition(repetition) => {
            let often = repetition.max.is_none_or(|most| most > 1);
            captures_repeatedly(&repetition.sub, repeated || often)
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().any(|part| captures_repeatedly(part, repeated))
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => false,
    }
}

fn one_group_named_session(regex: &Regex) -> Result<(), String> {
    match regex.capture_names().skip(1).collect::<Vec<_>>().as_slice() {
        [Some("session")] => Ok(()),
        [] => Err(format!("has no group named session, as in {EXAMPLE}")),
        [_] => Err(format!("must name its group session, as in {EXAMPLE}")),
        groups => Err(format!(
            "has {} groups; only one may capture, named session, as in {EXAMPLE}; write the others as (?:…)",
            groups.len()
        )),
    }
}

/// One line, where the error's own text would draw the pattern again with a pointer below it.
fn not_a_pattern(error: &regex_syntax::Error) -> String {
    let problem = match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    };
    format!("is not a regular expression: {problem} (a sound one: {EXAMPLE})")
}

/// Compiles the keep globs; each that does not compile is a fault of its own.
pub(super) fn keep_globs(globs: &[String], faults: &mut Faults) -> Option<KeepGlobs> {
    let mut set = GlobSetBuilder::new();
    let found_before = faults.0.len();
    for (index, glob) in globs.iter().enumerate() {
        let field = format!("spec.workspaces.keep[{index}]");
        if glob.is_empty() || glob.chars().count() > 255 {
            faults.add(&field, glob, "must have 1 to 255 characters");
        } else if glob.contains('/') {
            // It would match no name, and quietly keep nothing.
            faults.add(&field, glob, "contains a slash; globs match the names directly below the root, like shared-*");
        } else {
            match GlobBuilder::new(glob).literal_separator(true).build() {
                Ok(compiled) => drop(set.add(compiled)),
                Err(error) => {
                    faults.add(&field, glob, format!("is not a glob: {} (a sound one: shared-*)", error.kind()))
                }
            }
        }
    }
    if faults.0.len() > found_before {
        return None;
    }
    let set: Result<GlobSet, _> = set.build();
    let set = faults.check("spec.workspaces.keep", "", set.map_err(|error| format!("cannot be compiled: {error}")))?;
    Some(KeepGlobs { globs: globs.to_vec(), set })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::EntryName;

    #[test]
    fn only_whole_names_match() {
        let pattern = name_pattern("^ws-(?<session>[a-z]+)$").unwrap();
        assert_eq!(pattern.session(&EntryName::new("ws-abc")).unwrap().as_str(), "abc");
        for name in ["ws-abc\n", "xws-abc", "ws-abc2", "ws-"] {
            assert_eq!(pattern.session(&EntryName::new(name)), None, "{name:?}");
        }
    }

    #[test]
    fn the_id_is_what_the_group_captures_however_it_is_found() {
        for (pattern, around) in [
            ("^(?<session>[a-z0-9]+)$", Some((0, 0))),
            ("^ws-(?<session>[a-z0-9]+)$", Some((3, 0))),
            (r"^[0-9]{2}\.(?<session>.+)[xyz]\.ws$", Some((3, 4))),
            (r"^\d{2}\.(?<session>.+)$", None), // digits of other scripts are longer
            ("^(?:a|b)(?<session>.+)$", Some((1, 0))),
            ("^(?:ä|ö)(?<session>.+)$", Some((2, 0))),
            ("^(?:a|bc)(?<session>.+)$", None),
            ("^a?(?<session>.+)$", None),
            ("^[aä](?<session>.+)$", None),
            ("^(?<session>.+?)-*$", None),
            ("^(?:x(?<session>a+)|y)$", None),
            ("^(?:(?<session>a)|b)$", None),
        ] {
            let pattern = name_pattern(pattern).unwrap();
            assert_eq!(pattern.around, around, "{}", pattern.regex);
            for name in [
                "abc",
                "ws-abc",
                "ws-",
                "12.ax.ws",
                "12.ä1y.ws",
                "äö",
                "öa",
                "bcd",
                "bc",
                "xaa",
                "y",
                "a",
                "b",
                "",
                "aa--",
            ] {
                let captured = pattern.regex.captures(name).and_then(|found| Some(found.name("session")?.as_str()));
                let session = pattern.session(&EntryName::new(name));
                assert_eq!(session.as_ref().map(|id| id.as_str()), captured, "{} {name:?}", pattern.regex);
            }
        }
    }

    #[test]
    fn a_pattern_that_only_looks_anchored_is_refused() {
        for pattern in [
            "(?<session>a)",
            "^(?<session>a)",
            "(?<session>a)$",
            "^a|(?<session>b)$",
            "^(?<session>a)$|b",
            "(?m)^(?<session>a)$",
            "(?m:^)(?<session>a)$",
            "(?:^)?(?<session>a)$",
            "^(?<session>a)(?:$)?",
            "^*(?<session>a)$",
            "(?:^|x)(?<session>a)$",
            r"\^(?<session>a)\$",
            "(?R)(?m)^(?<session>a)$",
        ] {
            let error = name_pattern(pattern).unwrap_err();
            assert!(error.contains("not anchored"), "{pattern}: {error}");
        }
        for pattern in [
            "^(?<session>a)$",
            "^(?:(?<session>a)|b)$",
            r"\A(?P<session>a)\z",
            "^x(?<session>a)$|^y$",
            "(?i)^(?<session>a)$",
        ] {
            assert!(name_pattern(pattern).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn exactly_one_group_captures_and_it_is_named_session() {
        assert!(name_pattern("^a$").unwrap_err().contains("no group"));
        assert!(name_pattern("^(a)$").unwrap_err().contains("name its group session"));
        assert!(name_pattern("^(?<id>a)$").unwrap_err().contains("name its group session"));
        assert!(name_pattern("^(?<session>a)(b)$").unwrap_err().contains("2 groups"));
    }

    #[test]
    fn a_pattern_is_bounded() {
        assert!(name_pattern(r"^(?<session>(?:\pL{1000}){1000})$").unwrap_err().contains("too large"));
        assert!(name_pattern(&format!("^(?<session>{})$", "a".repeat(600))).unwrap_err().contains("512"));
        let error = name_pattern("^(?<session>a$").unwrap_err();
        assert!(error.contains("unclosed group") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn each_glob_is_judged_by_itself() {
        let mut faults = Faults::default();
        let globs = ["shared-*", "a/b", "[", ""].map(String::from);
        assert!(keep_globs(&globs, &mut faults).is_none());
        let fields: Vec<_> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["spec.workspaces.keep[1]", "spec.workspaces.keep[2]", "spec.workspaces.keep[3]"]);

        let kept = keep_globs(&["x".into(), "shared-*".into()], &mut Faults::default()).unwrap();
        assert_eq!(kept.matching(&EntryName::new("shared-cache")), Some(1));
        assert_eq!(kept.matching(&EntryName::new("other")), None);
    }

    #[test]
    fn a_group_that_is_repeated_would_hold_a_part_of_the_id() {
        let refused = name_pattern("^(?:(?<session>[0-9a-f]{4,12})-?){5}$").unwrap_err();
        assert!(refused.starts_with("repeats its group session"), "{refused}");
        assert!(name_pattern("^(?<session>(?:[0-9a-f]{4,12}-?){5})$").is_ok());
    }
}
