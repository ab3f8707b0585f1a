//! This library, as a crate. It trusts the certificates in SSL_CERT_FILE, which the benchmark sets.

use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};

use commbox::{Client, Options};
use commbox_bench::{run, API_KEY, USER_ID};

static NEXT: AtomicI64 = AtomicI64::new(USER_ID);

thread_local! {
    /// Each thread has its own user, because updates of one user are sent one after the other.
    static USER: i64 = NEXT.fetch_add(1, Ordering::Relaxed);
}

fn main() -> ExitCode {
    run(
        |work| {
            let mut options = Options::default();
            options.base_url = work.url.clone();
            options.max_idle_connections = work.threads as u32;
            Ok(Client::new(API_KEY, &options)?)
        },
        |client, work| {
            Ok(client.update_user_json(USER.with(|user| *user), &work.body)?.into_json())
        },
    )
}
