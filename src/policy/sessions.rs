//! `spec.sessions`, parsed and validated.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::convert::{HOUR, duration};
use super::faults::Faults;
use super::{
    AddressPolicy, NamePattern, PartsPolicy, ReplicaRule, ServerPolicy, SessionPolicy, StorePolicy, TlsMode,
    ValuePolicy, paths, sql,
};
use crate::api;
use crate::names::EntryName;
use crate::secrets::{SecretKey, SecretKind};

/// What the conversion of `spec.sessions` depends on besides it.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) root: Option<&'a Path>,
    pub(super) pattern: Option<&'a NamePattern>,
    pub(super) namespace: &'a str,
}

pub(super) fn convert(spec: &api::SessionsSpec, place: Place<'_>, faults: &mut Faults) -> Option<SessionPolicy> {
    let store = match (&spec.sqlite, &spec.postgres, &spec.mysql) {
        (Some(sqlite), ..) => {
            database_file(&sqlite.path, place, faults).map(|path| StorePolicy::Sqlite { path, beneath: None })
        }
        (_, Some(postgres), _) => server("spec.sessions.postgres", postgres, place, faults).map(StorePolicy::Postgres),
        (.., Some(mysql)) => server("spec.sessions.mysql", mysql, place, faults).map(StorePolicy::Mysql),
        (None, None, None) => {
            faults.absent("spec.sessions.sqlite");
            None
        }
    };
    sql::check("spec.sessions.liveQuery", Some(&spec.live_query), sql::Rows::All, faults);
    sql::check("spec.sessions.liveByIDQuery", spec.live_by_id_query.as_ref(), sql::Rows::Some, faults);
    sql::check("spec.sessions.freshnessQuery", spec.freshness_query.as_ref(), sql::Rows::Some, faults);
    sql::check("spec.sessions.canaryQuery", spec.canary_query.as_ref(), sql::Rows::Some, faults);
    sql::check("spec.sessions.knownQuery", spec.known_query.as_ref(), sql::Rows::All, faults);
    let millisecond = Duration::from_millis(1);
    let max_staleness = duration("spec.sessions.maxStaleness", &spec.max_staleness, millisecond, 8760 * HOUR, faults);
    let timeout = duration("spec.sessions.timeout", &spec.timeout, millisecond, HOUR, faults);
    let minimum_live = faults.range("spec.sessions.minimumLive", spec.minimum_live, 1, 100_000_000);
    if spec.sqlite.is_some() && spec.replica == api::Replica::Accept {
        faults.add(
            "spec.sessions.replica",
            "Accept",
            "is for database servers; a SQLite file has no replica: remove it",
        );
    }
    Some(SessionPolicy {
        store: store?,
        live_query: spec.live_query.clone(),
        live_by_id_query: spec.live_by_id_query.clone(),
        freshness_query: spec.freshness_query.clone(),
        max_staleness: max_staleness?,
        canary_query: spec.canary_query.clone(),
        known_query: spec.known_query.clone(),
        minimum_live,
        timeout: timeout?,
        replica: match spec.replica {
            api::Replica::Refuse => ReplicaRule::Refuse,
            api::Replica::Accept => ReplicaRule::Accept,
        },
    })
}

fn server(field: &str, spec: &api::DatabaseSpec, place: Place<'_>, faults: &mut Faults) -> Option<ServerPolicy> {
    let key = |kind, key: &api::KeyReference| SecretKey {
        kind,
        namespace: place.namespace.to_owned(),
        name: key.name.clone(),
        key: key.key.clone(),
    };
    let secret = |reference: &api::KeyReference| key(SecretKind::Secret, reference);
    let mut value = |part: &str, source: &api::ValueSource| match (&source.value, &source.secret_key_ref) {
        (Some(value), None) => Some(ValuePolicy::Given(value.clone())),
        (None, Some(reference)) => Some(ValuePolicy::Secret(secret(reference))),
        _ => {
            faults.add(format!("{field}.connection.{part}"), "", "give exactly one of value and secretKeyRef");
            None
        }
    };
    let address = match (&spec.url, &spec.connection) {
        (Some(url), None) => Some(AddressPolicy::Url(secret(&url.secret_key_ref))),
        (None, Some(parts)) => {
            let host = value("host", &parts.host);
            let port = match &parts.port {
                Some(port) => value("port", port).map(Some),
                None => Some(None),
            };
            let (database, user) = (value("database", &parts.database), value("user", &parts.user));
            let password = parts.password.as_ref().map(|password| secret(&password.secret_key_ref));
            match (host, port, database, user) {
                (Some(host), Some(port), Some(database), Some(user)) => {
                    Some(AddressPolicy::Parts(Box::new(PartsPolicy { host, port, database, user, password })))
                }
                _ => None,
            }
        }
        _ => {
            faults.add(field, "", "give exactly one of url and connection");
            None
        }
    };
    let ca = match spec.tls.ca.as_ref().map(|ca| (&ca.config_map_key_ref, &ca.secret_key_ref)) {
        Some((Some(reference), None)) => Some(key(SecretKind::ConfigMap, reference)),
        Some((None, Some(reference))) => Some(secret(reference)),
        Some(_) => {
            faults.add(format!("{field}.tls.ca"), "", "give exactly one of configMapKeyRef and secretKeyRef");
            None
        }
        None => None,
    };
    let tls = match spec.tls.mode {
        api::TlsMode::VerifyFull => TlsMode::VerifyFull,
        api::TlsMode::VerifyCA => TlsMode::VerifyCa,
        api::TlsMode::Require => TlsMode::Require,
        api::TlsMode::Disable => TlsMode::Disable,
    };
    if ca.is_some() && matches!(tls, TlsMode::Require | TlsMode::Disable) {
        let message = "has no meaning with a tls.mode that checks nothing; use VerifyFull or VerifyCA, or remove it";
        faults.add(format!("{field}.tls.ca"), "", message);
    }
    Some(ServerPolicy { address: address?, tls, ca })
}

/// The database file, if no sweep could ever take the directory it lies in for an orphan.
fn database_file(text: &str, Place { root, pattern, .. }: Place<'_>, faults: &mut Faults) -> Option<PathBuf> {
    let field = "spec.sessions.sqlite.path";
    let path = faults.check(field, text, paths::absolute(text))?;
    let mut below_root = root.and_then(|root| path.strip_prefix(root).ok()).into_iter().flat_map(Path::components);
    if let (Some(Component::Normal(first)), Some(_)) = (below_root.next(), below_root.next()) {
        let is_workspace = pattern.is_some_and(|pattern| pattern.session(&EntryName::new(first)).is_some());
        if is_workspace || first == ".hygiene" {
            faults.add(field, text, "lies inside a directory that a sweep may remove; keep the database elsewhere");
        }
    }
    Some(path)
}
