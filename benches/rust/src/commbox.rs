//! This library, as a crate. It trusts what SSL_CERT_FILE names, as the bench sets it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};

use commbox::{Client, Options};
use commbox_bench::{run, API_KEY, USER_ID};

static NEXT: AtomicI64 = AtomicI64::new(USER_ID);

thread_local! {
    /// Each thread updates a user of its own, since those of one are sent in turn.
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
