//! This library, as a crate. It trusts what SSL_CERT_FILE names, as the bench sets it.

use std::process::ExitCode;

use commbox::{Client, Options};
use commbox_bench::{run, API_KEY, USER_ID};

fn main() -> ExitCode {
    run(
        |work| {
            let mut options = Options::default();
            options.base_url = work.url.clone();
            options.max_idle_connections = work.threads as u32;
            Ok(Client::new(API_KEY, &options)?)
        },
        |client, work| Ok(client.update_user_json(USER_ID, &work.body)?.into_json()),
    )
}
