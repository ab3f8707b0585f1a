//! The command `commbox`: updates users of CommBox, one or all rows of a file.
//!
//! The library sends: it queues, retries, keeps the rows of one user in order, and knows what was
//! delivered. The command reads rows ([`input`]), checks them ([`check`]), submits them, and
//! records their outcomes ([`sync`], [`journal`], [`rejects`]).

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

mod args;
mod check;
mod diagnose;
mod duplicates;
mod failure;
mod input;
mod journal;
mod rejects;
// The sandbox may panic if its own text cannot be serialized, as the examples and tests that use it
// may.
#[allow(clippy::expect_used)]
mod sandbox;
mod settings;
mod show;
mod stop;
mod sync;
mod ui;
mod units;
mod update;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command, Output, SandboxArgs};
use failure::{Doing, Exit, Result};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (done, output) = match &cli.command {
        Command::Update(args) => (update::run(args), args.output),
        Command::Sync(args) => (sync::run(args), args.output),
        Command::Check(args) => (check::run(args), args.output),
        Command::Diagnose(args) => (diagnose::run(args), args.output),
        Command::Journal(args) => (show::run(args), args.output),
        Command::Sandbox(args) => (run_sandbox(args), Output::Text),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "commbox", &mut io::stdout());
            (Ok(Exit::Done), Output::Text)
        }
        Command::Man => (write_manual(), Output::Text),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let ui = ui::Ui::new(output, false);
            ui.event(&serde_json::json!({
                "event": "error", "exit_code": failure.exit as u8, "message": failure.message,
            }));
            ui.words(&format!("commbox: {failure}"));
            failure.exit.into()
        }
    }
}

fn run_sandbox(args: &SandboxArgs) -> Result<Exit> {
    let settings = sandbox::Settings {
        port: args.port,
        host: args.host,
        api_key: args.api_key.clone(),
        tls: args.tls.clone(),
        limit: args.limit.map(|rate| (rate, args.burst)),
        record: !args.no_record,
    };
    match sandbox::run(settings) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(failure::Failure::new(Exit::Failed, error.to_string())),
    }
}

fn write_manual() -> Result<Exit> {
    let manual = clap_mangen::Man::new(Cli::command());
    manual.render(&mut io::stdout()).doing(|| "write the manual page".into())?;
    Ok(Exit::Done)
}
