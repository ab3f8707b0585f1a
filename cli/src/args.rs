//! Defines the command line. The doc comments are its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::units::{self, MaxErrors};

/// Updates users of CommBox: one, or all that a file holds.
#[derive(Parser)]
#[command(name = "commbox", version, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
The API key comes from COMMBOX_API_KEY, from --api-key-file, or from a prompt on a terminal.

Exit codes: 0 all confirmed, 1 some failed, 2 usage or file, 3 API key rejected, 4 server not
reachable, 130 and 143 after Ctrl-C and SIGTERM.

First steps, without a server:
  commbox sandbox --port 8080 &
  export COMMBOX_BASE_URL=http://127.0.0.1:8080 COMMBOX_API_KEY=sandbox-key
  commbox update 94382332 FirstName=John Content.VIP_Status=8";

#[derive(Subcommand)]
pub enum Command {
    /// Update one user, and print the server's reply
    Update(UpdateArgs),
    /// Update all users of a file: CSV, TSV, JSON Lines or a JSON array
    Sync(SyncArgs),
    /// Do what sync does before it sends: check every row, and say what each column becomes
    Check(CheckArgs),
    /// Look at what stands between this machine and the API; send no update and no key
    Diagnose(DiagnoseArgs),
    /// Run an offline CommBox for demos and tests
    Sandbox(SandboxArgs),
    /// Show the journal of earlier runs
    Journal(JournalArgs),
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// The format of the output.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// People
    Text,
    /// Programs: JSON on standard output, words on standard error
    Json,
}

/// Options of the client. Each has a variable, and a key in the file.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub struct ClientArgs {
    /// Options file; without it, commbox.toml in the current directory if there is one
    #[arg(long, env = "COMMBOX_CONFIG", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// File whose first line is the API key
    #[arg(long, env = "COMMBOX_API_KEY_FILE", value_hint = ValueHint::FilePath)]
    pub api_key_file: Option<PathBuf>,
    /// Where the API is [default: https://api.commbox.io]
    #[arg(long, env = "COMMBOX_BASE_URL", value_name = "URL", hide_env_values = true)]
    pub base_url: Option<String>,
    /// Allow http to a host that is not loopback
    #[arg(long, env = "COMMBOX_ALLOW_HTTP", num_args = 0..=1, default_missing_value = "true")]
    pub allow_http: Option<bool>,
    /// Timeout of one update, everything included [default: 60s]
    #[arg(long, env = "COMMBOX_TOTAL_TIMEOUT", value_name = "TIME", value_parser = units::duration)]
    pub total_timeout: Option<Duration>,
    /// Timeout of one attempt [default: 15s]
    #[arg(long, env = "COMMBOX_ATTEMPT_TIMEOUT", value_name = "TIME",
          value_parser = units::duration)]
    pub attempt_timeout: Option<Duration>,
    /// Timeout for DNS lookup, connect and TLS handshake [default: 5s]
    #[arg(long, env = "COMMBOX_CONNECT_TIMEOUT", value_name = "TIME",
          value_parser = units::duration)]
    pub connect_timeout: Option<Duration>,
    /// Maximum number of retries after a transient failure [default: 3]
    #[arg(long, env = "COMMBOX_MAX_RETRIES", value_name = "N")]
    pub max_retries: Option<u32>,
    /// Bound of the first backoff [default: 500ms]
    #[arg(long, env = "COMMBOX_RETRY_BASE", value_name = "TIME", value_parser = units::duration)]
    pub retry_base: Option<Duration>,
    /// Longest backoff [default: 8s]
    #[arg(long, env = "COMMBOX_RETRY_CAP", value_name = "TIME", value_parser = units::duration)]
    pub retry_cap: Option<Duration>,
    /// Maximum rate of requests, such as 50/s or 3000/m [default: no limit but the server's]
    #[arg(long, env = "COMMBOX_RATE", value_parser = units::rate)]
    pub rate: Option<f64>,
    /// Name of a group of processes on this machine that share one rate limit
    #[arg(long, env = "COMMBOX_RATE_GROUP", value_name = "NAME")]
    pub rate_group: Option<String>,
    /// Connections kept open between requests [default: 16, or --concurrency]
    #[arg(long, env = "COMMBOX_MAX_IDLE_CONNECTIONS", value_name = "N")]
    pub max_idle_connections: Option<u32>,
    /// How long an idle connection is kept [default: 60s]
    #[arg(long, env = "COMMBOX_IDLE_TIMEOUT", value_name = "TIME", value_parser = units::duration)]
    pub idle_timeout: Option<Duration>,
    /// How long a DNS lookup is cached [default: 60s]
    #[arg(long, env = "COMMBOX_DNS_TTL", value_name = "TIME", value_parser = units::duration)]
    pub dns_ttl: Option<Duration>,
    /// Proxy URL; empty for none [default: from the environment]
    #[arg(long, env = "COMMBOX_PROXY", value_name = "URL", hide_env_values = true)]
    pub proxy: Option<String>,
    /// PEM file of certificates to trust besides the system's
    #[arg(long, env = "COMMBOX_CA_FILE", value_hint = ValueHint::FilePath)]
    pub ca_file: Option<PathBuf>,
    /// PEM file of this client's certificate
    #[arg(long, env = "COMMBOX_CLIENT_CERT_FILE", value_hint = ValueHint::FilePath)]
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of the certificate's key
    #[arg(long, env = "COMMBOX_CLIENT_KEY_FILE", value_hint = ValueHint::FilePath)]
    pub client_key_file: Option<PathBuf>,
    /// Unique Names of the account's custom fields, with commas; others in Content are errors
    #[arg(long, env = "COMMBOX_CUSTOM_FIELDS", value_name = "NAMES", value_delimiter = ',')]
    pub custom_fields: Option<Vec<String>>,
    /// Fields that the API does not document: refuse or allow [default: refuse]
    #[arg(long, env = "COMMBOX_UNKNOWN_FIELDS", value_name = "WHAT")]
    pub unknown_fields: Option<String>,
    /// Check fields before sending [default: true]
    #[arg(long, env = "COMMBOX_VALIDATE", value_name = "BOOL")]
    pub validate: Option<bool>,
    /// Appended to the User-Agent header
    #[arg(long, env = "COMMBOX_USER_AGENT", value_name = "TEXT")]
    pub user_agent: Option<String>,
    /// Further header of every request, "Name: value"; secret ones belong in the options file
    #[arg(long = "header", value_name = "HEADER", action = ArgAction::Append)]
    pub headers: Vec<String>,
    /// Header of replies that holds the request id
    #[arg(long, env = "COMMBOX_REQUEST_ID_HEADER", value_name = "NAME")]
    pub request_id_header: Option<String>,
}

#[derive(Args)]
pub struct UpdateArgs {
    /// The user's id
    #[arg(value_name = "ID")]
    pub user_id: i64,
    /// Fields, such as FirstName=John, Content.VIP_Status=8; an empty value is an empty text
    #[arg(value_name = "NAME=VALUE")]
    pub fields: Vec<String>,
    /// Fields to set to JSON null
    #[arg(long, value_name = "NAME")]
    pub null: Vec<String>,
    /// Read the user as JSON from a file; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fields", "null"],
          value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,
    /// Who reads what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    pub client: ClientArgs,
}

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Commas, semicolons or tabs
    Csv,
    /// One object a line
    Jsonl,
    /// An array of objects
    Json,
}

/// The meaning of an empty cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Empty {
    /// The field stays as it is
    #[default]
    Skip,
    /// JSON null
    Null,
    /// An empty text
    Text,
}

/// The treatment of several rows of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// The last row counts
    #[default]
    Last,
    /// All are sent, in order
    All,
    /// They are an error
    Error,
}

/// What is read, and what its columns are.
#[derive(Args)]
#[command(next_help_heading = "Input")]
pub struct InputArgs {
    /// Files; - is standard input
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Format [default: recognised]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// What separates cells: a character, or "tab" [default: recognised]
    #[arg(long, value_name = "CHAR")]
    pub delimiter: Option<String>,
    /// Encoding, such as windows-1255 [default: by the byte order mark, else UTF-8]
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
    /// Column of the user's id [default: the one that is named UserId, user_id or Id]
    #[arg(long = "id", value_name = "COLUMN")]
    pub id: Option<String>,
    /// What a column becomes, such as "E-mail=Email" or "City=Content.City"
    #[arg(long, value_name = "COLUMN=FIELD")]
    pub map: Vec<String>,
    /// A field with the same value for all, such as Content.Source=import
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    /// Columns to leave out
    #[arg(long, value_name = "COLUMN")]
    pub skip: Vec<String>,
    /// Take the suggested field where a column's name is nearly one
    #[arg(long)]
    pub accept_suggestions: bool,
    /// What an empty cell means [default: skip]
    #[arg(long, value_enum)]
    pub empty: Option<Empty>,
    /// What several rows of one user mean [default: last]
    #[arg(long, value_enum)]
    pub duplicates: Option<Duplicates>,
}

#[derive(Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Who reads what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Args)]
pub struct SyncArgs {
    #[command(flatten)]
    pub input: InputArgs,
    /// Send without checking all rows first; wrong rows are then rejected one by one
    #[arg(long)]
    pub no_check: bool,
    /// Where the journal is [default: FILE.journal]
    #[arg(long, env = "COMMBOX_JOURNAL", value_hint = ValueHint::FilePath)]
    pub journal: Option<PathBuf>,
    /// Go on where the last run of the journal ended
    #[arg(long)]
    pub resume: bool,
    /// Send only the rows that differ from what was last confirmed for their user
    #[arg(long)]
    pub changed_only: bool,
    /// Send the rows that pass the check, and reject the others
    #[arg(long, conflicts_with = "no_check")]
    pub reject_invalid: bool,
    /// Stop after so many failed rows, such as 50 or 5% [default: if the first 100 rows all fail
    /// for one reason]
    #[arg(long, value_name = "N|P%")]
    pub max_errors: Option<MaxErrors>,
    /// Updates in flight at a time [default: 8]
    #[arg(long, env = "COMMBOX_CONCURRENCY", value_name = "N")]
    pub concurrency: Option<u32>,
    /// How long to wait while the server throttles without accepting one request [default: 15m]
    #[arg(long, env = "COMMBOX_THROTTLE_TIMEOUT", value_name = "TIME",
          value_parser = units::duration)]
    pub throttle_timeout: Option<Duration>,
    /// How long to wait through an outage [default: 10m]
    #[arg(long, env = "COMMBOX_OUTAGE_TIMEOUT", value_name = "TIME",
          value_parser = units::duration)]
    pub outage_timeout: Option<Duration>,
    /// Who reads what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Print errors only
    #[arg(long, short)]
    pub quiet: bool,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Args)]
pub struct DiagnoseArgs {
    /// Who reads what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    #[command(flatten)]
    pub client: ClientArgs,
}

#[derive(Args)]
pub struct SandboxArgs {
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// IP address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: std::net::IpAddr,
    /// The key that calls must carry; of the sandbox alone, so no secret
    #[arg(long, default_value = "sandbox-key")]
    pub api_key: String,
    /// Serve HTTPS, and write the certificate to trust to this file (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub tls: Option<PathBuf>,
    /// Throttle: answer 429 to what comes faster, such as 200/s
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    pub limit: Option<f64>,
    /// How many requests may come at once before --limit holds
    #[arg(long, value_name = "N", default_value_t = 20, requires = "limit")]
    pub burst: u32,
    /// Keep no record of requests; for measurements
    #[arg(long)]
    pub no_record: bool,
}

#[derive(Args)]
pub struct JournalArgs {
    /// The journal
    #[arg(value_hint = ValueHint::FilePath)]
    pub journal: PathBuf,
    /// Write the rows of the last run that failed to this file, for sync to read again; needs
    /// --from
    #[arg(long, value_name = "FILE", requires = "from", value_hint = ValueHint::FilePath)]
    pub export: Option<PathBuf>,
    /// The file that the last run read
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub from: Option<PathBuf>,
    /// Who reads what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}
