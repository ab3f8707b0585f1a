//! Which certificates are trusted, and how the others are reported.

use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{date_time_ymd, BasicConstraints, IsCa};

use crate::tls_server::{accept, self_signed, serve, Authority, Identity};
use crate::{call, loopback, refused, trusting};

/// A server with this identity, which no request may reach.
fn showing(identity: Identity) -> impl Fn(TcpStream) + Send + Sync {
    let config = Arc::new(identity.config());
    move |stream| assert!(accept(&config, stream).request().is_none())
}

#[test]
fn an_unknown_authority_is_refused_and_the_remedy_named() {
    let known = Authority::new().pem();
    refused(
        &known,
        showing(Authority::new().issue(|_| ())),
        &["not signed by an authority that is trusted", "ca_file", "SSL_CERT_FILE"],
    );
    refused(&known, showing(self_signed(|_| ())), &["ca_file", "SSL_CERT_FILE"]);
}

#[test]
fn an_authority_with_a_changed_key_is_recognized() {
    let (former, present) = (Authority::named("Renewed"), Authority::named("Renewed"));
    refused(&former.pem(), showing(present.issue(|_| ())), &["another key", "ca_file"]);
}

/// As `openssl req -x509` makes them.
#[test]
fn a_self_signed_authority_as_the_server_certificate_is_refused() {
    let identity = self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    refused(&Authority::new().pem(), showing(identity), &["certificate", "authority", "ca_file"]);
}

#[test]
fn a_certificate_outside_its_validity_period_is_refused() {
    let authority = Authority::new();
    let expired = authority.issue(|params| params.not_after = date_time_ymd(2020, 1, 1));
    refused(&authority.pem(), showing(expired), &["has expired", "renew", "clock"]);
    let early = authority.issue(|params| params.not_before = date_time_ymd(2090, 1, 1));
    refused(&authority.pem(), showing(early), &["not valid yet", "clock"]);
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let other = authority.issue(|params| {
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())];
    });
    refused(&authority.pem(), showing(other), &["another host", "base URL"]);
}

#[test]
fn a_certificate_for_a_host_name_is_accepted() {
    let authority = Authority::new();
    let (port, seen) = serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let mut options = trusting(port, &authority.pem());
    options.base_url = format!("https://localhost:{port}/prefix/");
    call(&options).unwrap();
    assert_eq!(seen.all()[0].request.path(), "/prefix/users/1");
}

#[test]
fn a_ca_file_may_contain_several_authorities_and_a_server_send_a_chain() {
    let authority = Authority::new();
    let intermediate = authority.intermediate();
    let confirm = |http: &mut loopback::Http<_>, _| http.confirm("").is_ok();

    let both = format!("{}{}", Authority::new().pem(), authority.pem());
    let mut identity = intermediate.issue(|_| ());
    identity.chain.push(intermediate.certificate());
    call(&trusting(serve(identity.config(), confirm).0, &both)).unwrap();

    // A server that forgets its intermediate is served by a ca_file that has it.
    let chain = format!("{}{}", intermediate.pem(), authority.pem());
    call(&trusting(serve(intermediate.issue(|_| ()).config(), confirm).0, &chain)).unwrap();
    refused(&authority.pem(), showing(intermediate.issue(|_| ())), &["ca_file"]);
}
