//! Rejected certificates: the message contains the reason and the remedy. OpenSSL creates and
//! serves the certificates, because this library's own TLS would not create such certificates.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use commbox::{Client, Delivery, ErrorKind, Options};
use common::tools::has;

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
const LEAF: &str = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n";

/// A folder of keys and certificates, each found by its name.
struct Authority(PathBuf);

impl Authority {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("certificates-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let authority = Self(folder);
        authority.sign("root", "ec:P-256", CA, None, "sha256");
        authority
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.0).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Creates a key of a kind and its certificate, signed by `issuer` or self-signed.
    fn sign(&self, name: &str, kind: &str, extensions: &str, issuer: Option<&str>, digest: &str) {
        let (algorithm, option) = match kind.split_once(':').unwrap() {
            ("rsa", bits) => ("RSA", format!("rsa_keygen_bits:{bits}")),
            (_, curve) => ("EC", format!("ec_paramgen_curve:{curve}")),
        };
        let [key, request, certificate, file] =
            ["key", "csr", "pem", "ext"].map(|ending| format!("{name}.{ending}"));
        self.openssl(&["genpkey", "-algorithm", algorithm, "-pkeyopt", &option, "-out", &key]);
        fs::write(self.0.join(&file), extensions).unwrap();
        let subject = format!("/CN={name}");
        self.openssl(&["req", "-new", "-key", &key, "-subj", &subject, "-out", &request]);
        let digest = format!("-{digest}");
        let mut arguments = vec![
            "x509",
            "-req",
            "-in",
            &request,
            "-days",
            "30",
            &digest,
            "-extfile",
            &file,
            "-out",
            &certificate,
        ];
        let of_issuer = issuer.map(|issuer| [format!("{issuer}.pem"), format!("{issuer}.key")]);
        match &of_issuer {
            Some([issuer, issuer_key]) => {
                arguments.extend(["-CA", issuer, "-CAkey", issuer_key, "-CAcreateserial"])
            }
            None => arguments.extend(["-signkey", &key]),
        }
        self.openssl(&arguments);
    }

    /// Returns the error message of a call to a server that presents this certificate and the chain
    /// behind it.
    fn refused(&self, name: &str, chain: &[&str]) -> String {
        let mut text = String::new();
        for certificate in chain {
            text.push_str(&fs::read_to_string(self.0.join(format!("{certificate}.pem"))).unwrap());
        }
        fs::write(self.0.join("chain.pem"), text).unwrap();
        let mut command = Command::new("openssl");
        command.args([
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            &format!("{name}.pem"),
            "-key",
            &format!("{name}.key"),
        ]);
        // By default, OpenSSL rejects old keys and digests.
        command.args(["-cipher", "ALL:@SECLEVEL=0"]);
        if !chain.is_empty() {
            command.args(["-cert_chain", "chain.pem"]);
        }
        let mut server = Server::start(command.args(["-www"]).current_dir(&self.0));
        let mut options = Options::default();
        options.base_url = format!("https://127.0.0.1:{}", server.port());
        options.proxy = Some(String::new());
        options.ca_file = Some(self.0.join("root.pem"));
        let error = Client::new("key", &options).unwrap().update_user_json(1, "{}").unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery(), error.attempts()),
            (ErrorKind::Tls, Delivery::NotSent, 1),
            "{error}"
        );
        let message = error.to_string();
        assert!(message.len() < 400 && !message.contains('\n'), "{message}");
        message
    }
}

struct Server(Child, BufReader<std::process::ChildStdout>);

impl Server {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(child, output)
    }

    /// Reads the port from the line that OpenSSL prints when it listens: `ACCEPT 127.0.0.1:PORT`.
    fn port(&mut self) -> u16 {
        let mut line = String::new();
        while self.1.read_line(&mut line).unwrap() > 0 {
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                return address.trim().rsplit(':').next().unwrap().parse().unwrap();
            }
            line.clear();
        }
        panic!("openssl s_server ended");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn assert_contains(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

#[test]
fn unsupported_keys_and_signatures_are_refused() {
    if !has("openssl", "openssl") {
        return;
    }
    let authority = Authority::new("keys");
    authority.sign("short", "rsa:1024", LEAF, Some("root"), "sha256");
    assert_contains(&authority.refused("short", &[]), &["RSA key of 1024 bits", "2048"]);
    authority.sign("old", "ec:P-256", LEAF, Some("root"), "sha1");
    assert_contains(&authority.refused("old", &[]), &["SHA-1", "SHA-256"]);
    authority.sign("large", "ec:P-521", LEAF, Some("root"), "sha256");
    assert_contains(&authority.refused("large", &[]), &["P-521"]);
    authority.sign("largest", "ec:P-521", CA, Some("root"), "sha256");
    authority.sign("below", "ec:P-256", LEAF, Some("largest"), "sha512");
    assert_contains(&authority.refused("below", &["largest"]), &["P-521", "P-256"]);
}

#[test]
fn wrong_host_names_are_refused() {
    if !has("openssl", "openssl") {
        return;
    }
    let authority = Authority::new("names");
    authority.sign("nameless", "ec:P-256", "basicConstraints=CA:FALSE\n", Some("root"), "sha256");
    assert_contains(&authority.refused("nameless", &[]), &["subjectAltName"]);
    let names = LEAF.replace("IP:127.0.0.1,DNS:localhost", "DNS:crm.example,DNS:*.api.example");
    authority.sign("other", "ec:P-256", &names, Some("root"), "sha256");
    assert_contains(
        &authority.refused("other", &[]),
        &["another host", "base URL", "crm.example", "*.api.example"],
    );
    let constraints = format!("{CA}nameConstraints=permitted;IP:10.0.0.0/255.0.0.0\n");
    authority.sign("bound", "ec:P-256", &constraints, Some("root"), "sha256");
    authority.sign("outside", "ec:P-256", LEAF, Some("bound"), "sha256");
    assert_contains(&authority.refused("outside", &["bound"]), &["name constraints"]);
}

#[test]
fn broken_chains_are_refused() {
    if !has("openssl", "openssl") {
        return;
    }
    let authority = Authority::new("chains");
    authority.sign("between", "ec:P-256", CA, Some("root"), "sha256");
    authority.sign("leaf", "ec:P-256", LEAF, Some("between"), "sha256");
    assert_contains(
        &authority.refused("leaf", &[]),
        &["not signed by an authority that is trusted", "ca_file", "intermediate", "full chain"],
    );
    let short = CA.replace("CA:TRUE", "CA:TRUE,pathlen:0");
    authority.sign("first", "ec:P-256", &short, Some("root"), "sha256");
    authority.sign("second", "ec:P-256", CA, Some("first"), "sha256");
    authority.sign("deep", "ec:P-256", LEAF, Some("second"), "sha256");
    assert_contains(&authority.refused("deep", &["second", "first"]), &["path length"]);
    authority.sign("plain", "ec:P-256", LEAF, Some("root"), "sha256");
    authority.sign("under", "ec:P-256", LEAF, Some("plain"), "sha256");
    assert_contains(&authority.refused("under", &["plain"]), &["not an authority's (CA:FALSE)"]);
    let as_authority = format!("{CA}subjectAltName=IP:127.0.0.1\n");
    authority.sign("itself", "ec:P-256", &as_authority, Some("root"), "sha256");
    assert_contains(&authority.refused("itself", &[]), &["CA:TRUE"]);
}
