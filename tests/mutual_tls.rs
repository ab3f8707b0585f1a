//! A server or gateway that requires a client certificate.

mod loopback;
mod tls_server;

use std::path::PathBuf;

use commbox::{Client, Delivery, Error, ErrorKind, Options};
use rustls::version::{TLS12, TLS13};
use tls_server::{file, serve, Authority};

fn options(port: u16, authority: &Authority) -> Options {
    let mut options = Options::default();
    options.base_url = format!("https://127.0.0.1:{port}");
    options.proxy = Some(String::new());
    options.ca_file = Some(file(&format!("mutual-{port}.pem"), &authority.pem()));
    options
}

fn call(
    options: &Options,
    certificate: Option<(PathBuf, Option<PathBuf>)>,
) -> Result<commbox::UpdateReply, Error> {
    let mut options = options.clone();
    if let Some((certificate, key)) = certificate {
        (options.client_cert_file, options.client_key_file) = (Some(certificate), key);
    }
    Client::new("key", &options)?.update_user_json(1, "{}")
}

#[test]
fn the_client_certificate_is_sent_on_request() {
    for (name, version) in [("12", &TLS12), ("13", &TLS13)] {
        let (servers, clients, others) = (Authority::new(), Authority::new(), Authority::new());
        let config = servers.issue(|_| ()).config_for_clients_of(&clients, &[version]);
        let (port, seen) = serve(config, |http, _| http.confirm("").is_ok());
        let options = options(port, &servers);
        let written = |name: &str, authority: &Authority| {
            let (certificate, key) = authority.issue(|_| ()).pems();
            let both = file(&format!("{name}-both.pem"), &format!("{key}{certificate}"));
            (file(&format!("{name}.pem"), &certificate), file(&format!("{name}.key"), &key), both)
        };
        let (certificate, key, both) = written(&format!("mutual-own-{name}"), &clients);
        call(&options, Some((certificate.clone(), Some(key)))).unwrap();
        call(&options, Some((both, None))).unwrap();
        assert_eq!(seen.all().len(), 2);

        let (unknown, its_key, _) = written(&format!("mutual-other-{name}"), &others);
        for (what, shown) in
            [("none", None), ("of another authority", Some((unknown, Some(its_key.clone()))))]
        {
            let error = call(&options, shown).unwrap_err();
            assert_eq!((error.kind(), error.attempts()), (ErrorKind::Tls, 1), "{what}: {error}");
            assert!(error.to_string().contains("client certificate"), "{what}: {error}");
            assert_ne!(error.delivery(), Delivery::Answered, "{what}");
        }
        assert_eq!(seen.all().len(), 2, "nothing of a request was taken");

        let error = call(&options, Some((certificate, Some(its_key)))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        assert!(error.to_string().contains("client_key_file"), "{error}");
    }
}

#[test]
fn no_client_certificate_is_sent_without_a_request() {
    let authority = Authority::new();
    let (port, seen) = serve(authority.issue(|_| ()).config(), |http, _| http.confirm("").is_ok());
    let (certificate, key) = authority.issue(|_| ()).pems();
    let certificate = file("mutual-unasked.pem", &format!("{certificate}{key}"));
    call(&options(port, &authority), Some((certificate, None))).unwrap();
    assert_eq!(seen.all().len(), 1);
    let mut wrong = options(port, &authority);
    wrong.client_key_file = Some("key.pem".into());
    let error = call(&wrong, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    assert!(error.to_string().contains("client_cert_file"), "{error}");
}
