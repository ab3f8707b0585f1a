//! ureq, which this library uses, without this library.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use commbox_bench::{run, API_KEY};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::Agent;

fn main() -> ExitCode {
    run(
        |work| {
            let roots = work
                .certificates()?
                .iter()
                .map(|der| Certificate::from_der(der).to_owned())
                .collect();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let tls = TlsConfig::builder()
                .root_certs(RootCerts::Specific(Arc::new(roots)))
                .unversioned_rustls_crypto_provider(provider)
                .build();
            let config = Agent::config_builder()
                .tls_config(tls)
                .timeout_global(Some(Duration::from_secs(60)))
                .max_idle_connections(work.threads)
                .max_idle_connections_per_host(work.threads)
                .build();
            Ok((Agent::new_with_config(config), work.endpoint()))
        },
        |(agent, endpoint), work| {
            let mut reply = agent
                .post(endpoint)
                .header("Authorization", format!("Bearer {API_KEY}"))
                .header("Content-Type", "application/json")
                .send(&work.body)?;
            Ok(reply.body_mut().read_to_string()?)
        },
    )
}
