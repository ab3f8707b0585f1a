//! The journal's file: its layout, its lock, its reserve, and the meaning of database errors.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, ErrorCode};

use crate::failure::Failure;

/// The version of the database layout.
const VERSION: i64 = 1;

/// Size of a file that is deleted when the disk is full, so that the outcomes of updates in flight
/// can be written.
const RESERVE: usize = 1024 * 1024;

/// Locks the database for this process, and creates missing tables. Returns its secret and its
/// name.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<(Vec<u8>, String)> {
    connection.busy_timeout(Duration::from_millis(200))?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // The system has all committed pages, so they outlive this process however it ends.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // The write-ahead log is copied to the database and synced every 16 MiB.
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

/// Returns the path with a suffix appended to its file name.
pub fn appended(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Makes a new journal readable only by its owner, because it contains ids.
pub(super) fn restrict(path: &Path, create: bool) {
    if create && !path.exists() {
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // If the file cannot be created, opening the database reports why.
        let _ = options.open(path);
    }
}

pub(super) fn write_reserve(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; RESERVE])?;
    file.sync_data()
}
