//! The command's sandbox (`commbox sandbox`, in `cli/src/sandbox`) without the rest of the command.
//! The library's tests start it, and it compiles within seconds.

#[path = "../../cli/src/sandbox/mod.rs"]
#[rustfmt::skip] // It uses the line width of the command's crate.
mod sandbox;

use std::error::Error;
use std::net::Ipv4Addr;
use std::process::ExitCode;

use sandbox::Settings;

const HELP: &str = "\
An offline CommBox.

Usage: sandbox [--port N] [--host ADDRESS] [--api-key KEY] [--tls CERTIFICATE_PATH]

  --port N                 port to listen on; 0, the default, takes a free one
  --host ADDRESS           IP address to listen on; default 127.0.0.1
  --api-key KEY            the key that calls must carry; default sandbox-key
  --tls CERTIFICATE_PATH   serve HTTPS, and write the certificate to trust to this path (PEM)
  --help                   show this
";

/// Parses the command line. Returns `None` if it asks for help.
fn args() -> Result<Option<Settings>, Box<dyn Error>> {
    let mut args = pico_args::Arguments::from_env();
    if args.contains(["-h", "--help"]) {
        return Ok(None);
    }
    let parsed = Settings {
        port: args.opt_value_from_str("--port")?.unwrap_or(0),
        host: args.opt_value_from_str("--host")?.unwrap_or(Ipv4Addr::LOCALHOST.into()),
        api_key: args.opt_value_from_str("--api-key")?.unwrap_or_else(|| "sandbox-key".into()),
        tls: args.opt_value_from_str("--tls")?,
        limit: None,
        record: true,
    };
    match args.finish().first() {
        None => Ok(Some(parsed)),
        Some(odd) => Err(format!("unknown argument \"{}\"", odd.to_string_lossy()).into()),
    }
}

fn main() -> ExitCode {
    let args = match args() {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("sandbox: {error}; see --help");
            return ExitCode::from(2);
        }
    };
    match sandbox::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}
