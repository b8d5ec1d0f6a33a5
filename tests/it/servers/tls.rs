//! Certificates, and the authorities that sign them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::process::{Folder, command, output};

/// What a server presents.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Certificate {
    /// For `localhost` and 127.0.0.1, signed by [`ca`].
    Right,
    /// For another host, signed by [`ca`].
    WrongName,
    /// For `localhost` and 127.0.0.1, signed by an authority of the same name that nobody was told of.
    OtherAuthority,
    /// For `localhost` and 127.0.0.1, signed by [`ca`] until years ago.
    Expired,
}

impl Certificate {
    const ALL: [Self; 4] = [Self::Right, Self::WrongName, Self::OtherAuthority, Self::Expired];

    fn name(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::WrongName => "wrong-name",
            Self::OtherAuthority => "other-authority",
            Self::Expired => "expired",
        }
    }

    /// Puts the certificate and its key into the folder of a server.
    pub(super) fn install(self, folder: &Folder) -> (PathBuf, PathBuf) {
        let put = |kind: &str| {
            let content = fs::read(made().join(&format!("{}.{kind}", self.name()))).unwrap();
            folder.write(&format!("server.{kind}"), &content)
        };
        (put("pem"), put("key"))
    }
}

/// The certificate of the authority to trust, as a PEM file.
pub fn ca() -> PathBuf {
    made().join("ca.pem")
}

fn made() -> &'static Folder {
    static MADE: OnceLock<Folder> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Folder::new();
        for name in ["ca", "other-ca"] {
            make_authority(folder.path(), name);
        }
        for certificate in Certificate::ALL {
            make(folder.path(), certificate);
        }
        folder
    })
}

fn openssl(dir: &Path, arguments: &str) {
    output(command("openssl").args(arguments.split(' ')).current_dir(dir), "");
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn make_authority(dir: &Path, name: &str) {
    openssl(
        dir,
        &format!(
            "req -x509 {NEW_KEY} -keyout {name}.key -out {name}.pem -days 30 -subj /CN=authority \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign"
        ),
    );
}

fn make(dir: &Path, certificate: Certificate) {
    let name = certificate.name();
    let host = if certificate == Certificate::WrongName { "elsewhere.example" } else { "localhost" };
    let address = if host == "localhost" { ",IP:127.0.0.1" } else { "" };
    let authority = if certificate == Certificate::OtherAuthority { "other-ca" } else { "ca" };
    openssl(dir, &format!("req -new {NEW_KEY} -keyout {name}.key -out {name}.csr -subj /CN={host}"));
    // Of openssl's commands only `ca` takes dates, and it wants a database of what it signed.
    let config = format!(
        "[ca]\ndefault_ca = it\n[it]\ndatabase = {name}.db\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n\
         unique_subject = no\npolicy = any\nx509_extensions = server\n[any]\ncommonName = supplied\n[server]\n\
         basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\nextendedKeyUsage = serverAuth\n\
         subjectAltName = DNS:{host}{address}\n"
    );
    fs::write(dir.join(format!("{name}.cnf")), config).unwrap();
    fs::write(dir.join(format!("{name}.db")), "").unwrap();
    let until = if certificate == Certificate::Expired { "20210101000000Z" } else { "20990101000000Z" };
    openssl(
        dir,
        &format!(
            "ca -batch -notext -config {name}.cnf -cert {authority}.pem -keyfile {authority}.key -in {name}.csr \
             -out {name}.pem -startdate 20200101000000Z -enddate {until}"
        ),
    );
}
