//! reqwest's blocking client.

use std::process::ExitCode;
use std::time::Duration;

use commbox_bench::{run, API_KEY};
use reqwest::blocking::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::Certificate;

fn main() -> ExitCode {
    run(
        |work| {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let roots = work
                .certificates()?
                .iter()
                .map(|der| Certificate::from_der(der))
                .collect::<Result<Vec<_>, _>>()?;
            let client = Client::builder()
                .tls_certs_only(roots)
                .timeout(Duration::from_secs(60))
                .pool_max_idle_per_host(work.threads)
                .build()?;
            Ok((client, work.endpoint()))
        },
        |(client, endpoint), work| {
            let request =
                client.post(endpoint).bearer_auth(API_KEY).header(CONTENT_TYPE, "application/json");
            Ok(request.body(work.body.clone()).send()?.error_for_status()?.text()?)
        },
    )
}
