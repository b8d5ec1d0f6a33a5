//! Where a server is and who connects to it: from a URL, or from its parts. Nothing of it is ever shown.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::fault::Fault;
use crate::policy::{AddressPolicy, PartsPolicy, ValuePolicy};
use crate::secrets::{SecretKey, Secrets};

/// Where a server is and who connects to it.
pub(in crate::observe::sessions) struct Address {
    pub(super) host: Host,
    pub(super) user: SecretString,
    pub(super) password: Option<SecretString>,
    pub(super) database: String,
}

/// Where a server listens.
pub(super) enum Host {
    /// Name or address, and port where one is given.
    Tcp(String, Option<u16>),
    /// A socket, and the port that is part of its name where one is given.
    Socket(PathBuf, Option<u16>),
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address(…)")
    }
}

/// Reads the address that a policy names. `field` is the engine's, like `spec.sessions.postgres`.
pub(super) async fn read(policy: &AddressPolicy, field: &str, secrets: &dyn Secrets) -> Result<Address, Fault> {
    match policy {
        AddressPolicy::Url(key) => {
            let field = format!("{field}.url");
            let url = secret(&field, key, secrets).await?;
            parse(url.expose_secret(), field.contains(".mysql.")).map_err(|why| Fault::Setting { field, why })
        }
        AddressPolicy::Parts(parts) => {
            let PartsPolicy { host, port, database, user, password } = &**parts;
            let part = |name: &str| format!("{field}.connection.{name}");
            let host = value(&part("host"), host, secrets).await?;
            let port = match port {
                Some(port) => Some(value(&part("port"), port, secrets).await?),
                None => None,
            };
            let port = port.map(|port| port_of(port.expose_secret())).transpose();
            let port = port.map_err(|why| Fault::Setting { field: part("port"), why })?;
            let password = match password {
                Some(key) => Some(secret(&part("password"), key, secrets).await?),
                None => None,
            };
            Ok(Address {
                host: host_of(host.expose_secret(), port),
                user: value(&part("user"), user, secrets).await?,
                password,
                database: value(&part("database"), database, secrets).await?.expose_secret().to_owned(),
            })
        }
    }
}

/// The value of a secret, without the line end that a file may have.
pub(super) async fn secret(field: &str, key: &SecretKey, secrets: &dyn Secrets) -> Result<SecretString, Fault> {
    let fault = |why: &str| Fault::Setting { field: field.into(), why: why.into() };
    let value = secrets.read(key).await.map_err(|why| fault(&why))?;
    let text = value.expose_secret();
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    match text {
        "" => Err(fault(&format!("{key} is empty"))),
        text if text.contains('\0') => Err(fault(&format!("{key} contains a NUL"))),
        text => Ok(SecretString::from(text)),
    }
}

async fn value(field: &str, value: &ValuePolicy, secrets: &dyn Secrets) -> Result<SecretString, Fault> {
    match value {
        ValuePolicy::Given(value) => Ok(SecretString::from(value.as_str())),
        ValuePolicy::Secret(key) => secret(field, key, secrets).await,
    }
}

fn port_of(text: &str) -> Result<u16, String> {
    text.trim().parse().ok().filter(|port| *port != 0).ok_or_else(|| "is no port: write 1 to 65535".into())
}

fn host_of(text: &str, port: Option<u16>) -> Host {
    if text.starts_with('/') { Host::Socket(text.into(), port) } else { Host::Tcp(text.into(), port) }
}

/// A connection URL: scheme://user:password@host:port/database. No message quotes any part of it.
fn parse(text: &str, mysql: bool) -> Result<Address, String> {
    let form =
        if mysql { "mysql://user:password@host:3306/database" } else { "postgres://user:password@host:5432/database" };
    let shape = || format!("is no connection URL: write {form}, special characters of user and password as %XX");
    let url = Url::parse(text.trim()).map_err(|_| shape())?;
    let schemes: &[&str] = if mysql { &["mysql", "mariadb"] } else { &["postgres", "postgresql"] };
    if !schemes.contains(&url.scheme()) {
        return Err(shape());
    }
    let decode = |part: &str| percent_decode_str(part).decode_utf8().map(String::from).map_err(|_| shape());
    let host = decode(url.host_str().unwrap_or_default())?;
    // An IPv6 address stands in brackets.
    let mut host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    for (number, (name, value)) in url.query_pairs().enumerate() {
        match &*name {
            // A socket, as both engines' own tools write it.
            "host" if !mysql && host == "localhost" && value.starts_with('/') => host = value.into_owned(),
            "socket" if mysql && host == "localhost" && value.starts_with('/') => host = value.into_owned(),
            _ => return Err(refused(&name, number + 1, mysql)),
        }
    }
    if url.fragment().is_some() {
        return Err(format!("has a part after #; write that character as %23. The form is {form}"));
    }
    let database = decode(url.path().trim_start_matches('/'))?;
    let user = decode(url.username())?;
    for (part, name) in [(&host, "host"), (&database, "database"), (&user, "user")] {
        if part.is_empty() {
            return Err(format!("names no {name}: write {form}"));
        }
    }
    let password = url.password().map(decode).transpose()?.map(SecretString::from);
    Ok(Address { host: host_of(&host, url.port()), user: user.into(), password, database })
}

/// Why a parameter of a URL is refused. Only names that are known are told: what else stands there could be part of a
/// password that was not encoded.
fn refused(name: &str, number: usize, mysql: bool) -> String {
    let engine = if mysql { "mysql" } else { "postgres" };
    let lower = name.to_ascii_lowercase();
    let known = ["passfile", "options", "service", "servicefile", "password", "user", "dbname", "application_name"];
    if lower.starts_with("ssl") || lower == "require_ssl" || lower == "verify_ca" || lower == "verify_identity" {
        format!("has a parameter about TLS ({}); say it in spec.sessions.{engine}.tls instead", tls_name(&lower))
    } else if let Some(name) = known.iter().find(|known| **known == lower) {
        format!("has the parameter {name}, which could change what is read or from where; remove it")
    } else {
        format!("has parameters, of which number {number} is not known; remove it")
    }
}

fn tls_name(name: &str) -> &'static str {
    const NAMES: [&str; 9] = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslnegotiation",
        "ssl-mode",
        "ssl-ca",
        "sslcrl",
        "sslpassword",
    ];
    NAMES.into_iter().find(|known| *known == name).unwrap_or("ssl…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, mysql: bool) -> String {
        let address = parse(text, mysql).unwrap();
        let host = match address.host {
            Host::Tcp(host, port) => format!("{host}:{port:?}"),
            Host::Socket(path, port) => format!("{}:{port:?}", path.display()),
        };
        let password = address.password.map(|password| password.expose_secret().to_owned());
        format!("{}|{password:?}|{host}|{}", address.user.expose_secret(), address.database)
    }

    #[test]
    fn a_url_is_its_parts() {
        assert_eq!(
            told("postgres://amy:p%40ss%2F%25@db.example:6432/s", false),
            r#"amy|Some("p@ss/%")|db.example:Some(6432)|s"#
        );
        assert_eq!(told("postgresql://amy@[::1]/s\n", false), "amy|None|::1:None|s");
        assert_eq!(told("mysql://amy:x@10.0.0.1/s%20t", true), r#"amy|Some("x")|10.0.0.1:None|s t"#);
        assert_eq!(told("postgres://amy:x@localhost/s?host=/run/pg", false), r#"amy|Some("x")|/run/pg:None|s"#);
        assert_eq!(told("postgres://amy:x@%2Frun%2Fpg:5433/s", false), r#"amy|Some("x")|/run/pg:Some(5433)|s"#);
        assert_eq!(told("mysql://amy:x@localhost/s?socket=/run/my.sock", true), r#"amy|Some("x")|/run/my.sock:None|s"#);
    }

    #[test]
    fn what_is_refused_is_told_without_any_part_of_it() {
        for (text, part) in [
            ("s3cret", "is no connection URL"),
            ("s3cret:s3cret@s3cret", "is no connection URL"),
            ("http://s3cret:s3cret@s3cret/s3cret", "is no connection URL"),
            ("postgres://amy:s3cret@s3cret/", "names no database"),
            ("postgres://:s3cret@s3cret/s3cret", "names no user"),
            ("postgres://amy:s3cret@/s3cret", "is no connection URL"),
            ("postgres:///s3cret", "names no host"),
            ("postgres://amy:s3cret@s3cret/s3cret?sslmode=s3cret", "(sslmode); say it in spec.sessions.postgres.tls"),
            ("postgres://amy:s3cret@s3cret/s3cret?sslS3cret=1", "(ssl…)"),
            ("postgres://amy:s3cret@s3cret/s3cret?options=-c%20row_security=on", "the parameter options"),
            ("postgres://amy:s3cret@s3cret/s3cret?passfile=/s3cret", "the parameter passfile"),
            ("postgres://amy:s3?cret@s3cret/s3cret", "is no connection URL"),
            ("postgres://amy:s3cret@s3cret/s3cret?schema=s3cret", "number 1 is not known"),
            ("postgres://amy:s3cret@s3cret/s3cret?host=/s3cret", "number 1 is not known"),
            ("postgres://amy:s3cret@s3cret/s3cret#s3cret", "after #"),
            ("postgres://amy:%ff@s3cret/s3cret", "is no connection URL"),
            ("postgres://amy:s3cret@s3cret:99999/s3cret", "is no connection URL"),
        ] {
            let told = parse(text, false).err().unwrap_or_else(|| panic!("{text} was accepted"));
            assert!(told.contains(part), "{text}: {told}");
            assert!(!told.to_lowercase().contains("s3cret"), "{text}: {told}");
        }
    }
}
