//! Builds a user field by field and updates it. `COMMBOX_API_KEY` holds the key; `COMMBOX_BASE_URL`
//! may name a server.

use std::env;
use std::process::ExitCode;

use commbox::{Client, Options, User};

fn update() -> commbox::Result<()> {
    let mut options = Options::default();
    if let Ok(url) = env::var("COMMBOX_BASE_URL") {
        options.base_url = url;
    }
    let client = Client::new(&env::var("COMMBOX_API_KEY").unwrap_or_default(), &options)?;

    let mut user = User::new();
    user.set("FirstName", Some("John"))?;
    user.set("Phone2", None)?;
    user.set_custom("VIP_Status", Some("8"))?;
    // The server's reply may repeat personal data, and is not needed here.
    client.update_user_json(94_382_332, &user.to_json())?;
    Ok(())
}

fn main() -> ExitCode {
    match update() {
        Ok(()) => {
            println!("user 94382332 is updated");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("commbox {}: {error}", error.kind().name());
            ExitCode::FAILURE
        }
    }
}
