//! Over TLS the endpoint must prove who it is.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use workspace_hygiene::observe::Health;
use workspace_hygiene::observe::containers::Http;

use super::server::{Server, answer};
use super::{look_at, policy, wrong};

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(include_bytes!("certificate.pem")).unwrap()
}

/// The port of a health endpoint over TLS that answers this many connections.
fn over_tls(connections: usize) -> u16 {
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream.unwrap());
            if stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                stream.write_all(answer("200 OK", "", "fine").as_bytes()).ok();
                stream.conn.send_close_notify();
                stream.flush().ok();
            }
        }
    });
    port
}

#[test]
fn an_endpoint_that_proves_who_it_is_is_asked() {
    let port = over_tls(2);
    let mut authorities = RootCertStore::empty();
    authorities.add(certificate()).unwrap();
    let named = |host: &str| Http::trusting(policy(&format!("https://{host}:{port}/healthz"), ""), authorities.clone());
    assert_eq!(look_at(&named("localhost")), Health::Healthy);
    // The same server and the same authority, and a name that the certificate is not for.
    let Health::Unhealthy(why) = look_at(&named("127.0.0.1")) else { panic!("it is healthy") };
    assert!(why.contains("has a certificate that no public authority vouches for"), "{why}");
}

#[test]
fn a_certificate_that_no_public_authority_vouches_for_is_unhealthy() {
    let port = over_tls(1);
    assert_eq!(
        wrong(&format!("https://localhost:{port}/healthz"), ""),
        "has a certificate that no public authority vouches for under this name and today"
    );
}

#[test]
fn a_plain_port_asked_over_tls_is_unhealthy() {
    let server = Server::well();
    let told = wrong(&server.url().replace("http:", "https:"), "");
    assert!(
        told == "does not speak TLS as it should; does the address need http instead of https?"
            || told.starts_with("ended the TLS connection"),
        "{told}"
    );
}
