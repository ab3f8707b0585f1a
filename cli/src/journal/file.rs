//! The journal's file: its layout, its owner, its reserve, and what errors of the database mean.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, ErrorCode};

use crate::failure::Failure;

/// The layout of the database.
const VERSION: i64 = 1;

/// Room on the disk that is given up when it is full, so that what is under way can be written.
const RESERVE: usize = 1024 * 1024;

/// Takes the database for this process alone, and makes what is not there. Returns its secret and
/// its name.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<(Vec<u8>, String)> {
    connection.busy_timeout(Duration::from_millis(200))?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Committed pages are in the system's hands: they outlive this process, however it ends.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // The log is written into the database, and waited for, every 16 MiB.
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.set_prepared_statement_cache_capacity(16);
    let (mut secret, mut name) = ([0; 32], [0; 4]);
    let random = SystemRandom::new();
    let filled = random.fill(&mut secret).and_then(|()| random.fill(&mut name));
    filled.map_err(|_| rusqlite::Error::InvalidQuery)?;
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    connection.execute_batch("BEGIN EXCLUSIVE")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS journal (version INTEGER, secret BLOB, name TEXT);
         CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, began INTEGER NOT NULL,
             ended INTEGER, fingerprint BLOB NOT NULL, state TEXT NOT NULL,
             submitted INTEGER NOT NULL DEFAULT 0, confirmed INTEGER NOT NULL DEFAULT 0,
             failed INTEGER NOT NULL DEFAULT 0);
         CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL,
             hash BLOB NOT NULL, at INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS failed (sequence INTEGER PRIMARY KEY, id INTEGER NOT NULL,
             hash BLOB NOT NULL, code INTEGER NOT NULL, message TEXT NOT NULL,
             delivery TEXT NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL,
             stamp INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS handed (id INTEGER NOT NULL, sequence INTEGER NOT NULL,
             PRIMARY KEY (id, sequence)) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS failed_of_user ON failed (id, sequence);",
    )?;
    connection.execute(
        "INSERT INTO journal SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM journal)",
        (VERSION, secret.as_slice(), &name),
    )?;
    connection.execute_batch("COMMIT")?;
    connection.query_row("SELECT secret, name FROM journal WHERE version = ?1", [VERSION], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

pub(super) fn explain(error: &rusqlite::Error, path: &Path) -> Failure {
    let path = path.display();
    Failure::usage(match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!(
                "the journal {path} is in use by another run; wait for its end, or name another \
                 one with --journal"
            )
        }
        Some(ErrorCode::DiskFull) => format!("the disk with the journal {path} is full"),
        Some(ErrorCode::NotADatabase) => {
            format!("{path} is not a journal; name another one with --journal")
        }
        Some(ErrorCode::DatabaseCorrupt) => format!("the journal {path} is damaged"),
        _ if matches!(error, rusqlite::Error::QueryReturnedNoRows) => {
            format!("the journal {path} was written by another version of this command")
        }
        _ => format!("the journal {path}: {error}"),
    })
}

/// The same path with something behind its last name.
pub fn appended(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A new journal is its owner's alone: it holds ids.
pub(super) fn restrict(path: &Path, create: bool) {
    if create && !path.exists() {
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // If it cannot be made, opening it says why.
        let _ = options.open(path);
    }
}

pub(super) fn write_reserve(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; RESERVE])?;
    file.sync_data()
}
