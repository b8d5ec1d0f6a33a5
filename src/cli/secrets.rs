//! `--secret` and `--config-map`: where the values are that a spec names, outside of a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use secrecy::SecretString;

use crate::policy::Policy;
use crate::report::table::quoted;
use crate::secrets::{SecretKey, SecretKind, Secrets};

/// The largest value that is read from a file, in bytes: an authority's certificates have some 200 KiB.
const MOST: u64 = 1 << 20;

/// One value of the option. What is wrong with it is told later, since the parser of the command line would quote it, and
/// it could be the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given(Result<Place, String>);

/// Which key, and where its value is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    name: String,
    key: String,
    source: Source,
}

impl Given {
    /// How it was given, for commands that are to be run next; nothing where it was wrong.
    pub(super) fn shown(&self, kind: SecretKind) -> Option<String> {
        let Place { name, key, source } = self.0.as_ref().ok()?;
        let source = match source {
            Source::Env(name) => format!("env:{name}"),
            Source::File(path) => format!("file:{}", path.display()),
        };
        Some(format!("{} {}", kind.option(), quoted(&format!("{name}/{key}={source}"))))
    }
}

/// Takes a value of the option.
pub(super) fn given(text: &str) -> Result<Given, std::convert::Infallible> {
    Ok(Given(place(text)))
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Env(String),
    File(PathBuf),
}

/// Reads `NAME/KEY=env:VAR` or `NAME/KEY=file:PATH`. What is wrong is told without any part of it.
fn place(text: &str) -> Result<Place, String> {
    let form = "write NAME/KEY=env:VAR or NAME/KEY=file:PATH";
    let (names, source) = text.split_once('=').ok_or_else(|| format!("has no equals sign; {form}"))?;
    let (name, key) = names.split_once('/').ok_or_else(|| format!("names no key; {form}"))?;
    let source = match source.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Source::Env(name.into()),
        Some(("file", path)) if !path.is_empty() => Source::File(path.into()),
        _ => {
            return Err(format!(
                "says neither env: nor file: after the equals sign. The value itself is never given here, where others can \
                 see it: {form}"
            ));
        }
    };
    if name.is_empty() || key.is_empty() {
        return Err(format!("names no key; {form}"));
    }
    Ok(Place { name: name.into(), key: key.into(), source })
}

/// The values that were given on the command line.
#[derive(Clone, Debug, Default)]
pub(super) struct GivenSecrets {
    places: BTreeMap<(SecretKind, String, String), Source>,
    /// What is wrong with the options.
    faults: Vec<String>,
}

impl GivenSecrets {
    pub(super) fn new(secrets: &[Given], config_maps: &[Given]) -> Self {
        let mut all = Self::default();
        let options = [(SecretKind::Secret, secrets), (SecretKind::ConfigMap, config_maps)];
        for (kind, Given(given)) in
            options.into_iter().flat_map(|(kind, given)| given.iter().map(move |one| (kind, one)))
        {
            match given {
                Ok(Place { name, key, source }) => {
                    all.places.insert((kind, name.clone(), key.clone()), source.clone());
                }
                Err(why) => all.faults.push(format!("{}: {why}", kind.option())),
            }
        }
        all
    }

    fn source(&self, key: &SecretKey) -> Result<&Source, String> {
        let known = self.places.get(&(key.kind, key.name.clone(), key.key.clone()));
        known.ok_or_else(|| {
            let (option, name, key) = (key.kind.option(), &key.name, &key.key);
            format!("{name}/{key} was not given; add {option} {name}/{key}=env:VAR, or =file:PATH")
        })
    }

    /// What is wrong with the options.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// What is missing of the values that a policy names: told before anything runs. A file may still come, so it is read
    /// when it is used.
    pub(super) fn missing(&self, policy: &Policy) -> Vec<String> {
        let missing = |(field, key): (String, SecretKey)| match self.source(&key) {
            Err(why) => Some(format!("{field}: {why}")),
            Ok(Source::Env(name)) if std::env::var_os(name).is_none() => Some(format!("{field}: {}", unset(name))),
            Ok(_) => None,
        };
        policy.sessions.store.secrets().into_iter().filter_map(missing).collect()
    }
}

fn unset(name: &str) -> String {
    format!("the environment variable {name} is not set")
}

#[async_trait]
impl Secrets for GivenSecrets {
    async fn read(&self, key: &SecretKey) -> Result<SecretString, String> {
        let text = match self.source(key)? {
            Source::Env(name) => {
                let value = std::env::var_os(name).ok_or_else(|| unset(name))?;
                value.into_string().map_err(|_| format!("the environment variable {name} is not UTF-8"))?
            }
            Source::File(path) => {
                let told = |why: String| format!("{}: {why}", path.display());
                let size = tokio::fs::metadata(path).await.map_err(|e| told(e.to_string()))?.len();
                if size > MOST {
                    return Err(told(format!("is larger than {} KiB", MOST >> 10)));
                }
                let bytes = tokio::fs::read(path).await.map_err(|e| told(e.to_string()))?;
                String::from_utf8(bytes).map_err(|_| told("is not UTF-8".into()))?
            }
        };
        Ok(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_names_a_key_and_a_place_and_never_shows_a_value() {
        let file = Source::File("/run/db=1:x".into());
        assert_eq!(place("db/url=file:/run/db=1:x"), Ok(Place { name: "db".into(), key: "url".into(), source: file }));
        let env = Source::Env("DB_URL".into());
        assert_eq!(place("db/url=env:DB_URL"), Ok(Place { name: "db".into(), key: "url".into(), source: env }));
        for text in [
            "s3cret",
            "db=env:s3cret",
            "db/url=s3cret",
            "db/url=postgres://amy:s3cret@h/d",
            "/url=env:s3cret",
            "db/url=env:",
        ] {
            let why = place(text).unwrap_err();
            assert!(why.contains("NAME/KEY=env:VAR") && !why.contains("s3cret"), "{text}: {why}");
        }
    }
}
