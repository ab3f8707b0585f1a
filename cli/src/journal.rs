//! The journal: the outcome of each row, in an SQLite database that survives a kill at any moment.
//!
//! Rows are numbered over all runs of a journal. A row's *sequence* consists of its run and its
//! position in that run, so that of two rows of a user the newer one has the greater sequence. The
//! tables are:
//!
//! - `users`: for each user, the sequence, the hash and the time of the last confirmed row;
//! - `failed`: the rows that have failed since then;
//! - `handed`: the rows that were submitted to be sent and have no outcome. A row is recorded here
//!   before it is submitted, so after a kill each of these may have been sent;
//! - `runs`: the progress of each run.
//!
//! Of a user, the journal contains only the id, never a field. Hashes are keyed with a secret of
//! the journal.

mod file;
mod record;
mod rows;
mod write;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::hmac;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::failure::{Doing, Failure, Result};

use file::{explain, prepare, restrict, write_reserve};

pub use file::appended;
pub use record::{Became, Confirmed, Failed, Hash, Hasher, Outcome, Run, RunRow};

/// The journal, locked by this process.
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    key: hmac::Key,
    /// Identifies the journal in files of rejects.
    name: String,
    /// Whether there may be failed rows.
    has_failed: bool,
    reserve: Option<PathBuf>,
}

impl Journal {
    /// Opens or creates a journal, and locks it against other processes.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut journal = Self::open_with(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let reserve = appended(path, ".reserve");
        let written = write_reserve(&reserve);
        written.doing(|| format!("reserve room beside the journal {}", path.display()))?;
        journal.reserve = Some(reserve);
        Ok(journal)
    }

    /// Opens an existing journal to read it.
    pub fn open_existing(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::open_with(path, flags)
    }

    fn open_with(path: &Path, flags: OpenFlags) -> Result<Self> {
        restrict(path, flags.contains(OpenFlags::SQLITE_OPEN_CREATE));
        let connection = Connection::open_with_flags(path, flags)
            .doing(|| format!("open the journal {}", path.display()))?;
        let made = prepare(&connection).map_err(|error| explain(&error, path))?;
        let (secret, name) = made;
        let has_failed =
            connection.query_row("SELECT EXISTS (SELECT 1 FROM failed)", [], |row| row.get(0));
        Ok(Self {
            has_failed: has_failed.map_err(|error| explain(&error, path))?,
            connection,
            path: path.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            name,
            reserve: None,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn explain(&self, error: &rusqlite::Error) -> Failure {
        explain(error, &self.path)
    }

    pub fn hasher(&self) -> Hasher {
        Hasher(self.key.clone())
    }

    /// Returns the last run if it did not finish.
    pub fn interrupted(&self) -> Result<Option<i64>> {
        let query =
            "SELECT id FROM runs WHERE id = (SELECT max(id) FROM runs) AND state != 'finished'";
        let found = self.connection.query_row(query, [], |row| row.get(0)).optional();
        found.map_err(|error| self.explain(&error))
    }

    /// Starts a run, or resumes the last one if `fingerprint`, which covers the files and the
    /// rules, is unchanged.
    pub fn begin(&mut self, fingerprint: &[u8], resume: bool) -> Result<Run> {
        let query = "SELECT id, submitted, fingerprint FROM runs ORDER BY id DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let last: Option<(i64, i64, Vec<u8>)> = self
            .connection
            .query_row(query, [], read)
            .optional()
            .map_err(|error| self.explain(&error))?;
        if resume {
            let Some((id, submitted, known)) = last else {
                let path = self.path.display();
                return Err(Failure::usage(format!("the journal {path} has no run to resume")));
            };
            if known != fingerprint {
                return Err(Failure::usage(format!(
                    "cannot resume run {id}: the file, or what its columns become, has changed \
                     since. Run without --resume; --changed-only leaves out the rows that were \
                     confirmed as they are"
                )));
            }
            let update = "UPDATE runs SET state = 'running', ended = NULL WHERE id = ?1";
            self.connection.execute(update, [id]).map_err(|error| self.explain(&error))?;
            return Ok(Run { id, submitted: submitted.cast_unsigned(), resumed: true });
        }
        let id = last.map_or(0, |(id, ..)| id) + 1;
        let insert =
            "INSERT INTO runs (id, began, fingerprint, state) VALUES (?1, ?2, ?3, 'running')";
        let inserted = self.connection.execute(insert, (id, now(), fingerprint));
        inserted.map_err(|error| self.explain(&error))?;
        Ok(Run { id, submitted: 0, resumed: false })
    }

    /// Ends a run.
    pub fn end(&mut self, run: &Run, state: &str) -> Result<()> {
        let failed = self.failed(run)?.cast_signed();
        let update = "UPDATE runs SET state = ?2, ended = ?3, failed = ?4 WHERE id = ?1";
        let updated = self.connection.execute(update, (run.id, state, now(), failed));
        updated.map(drop).map_err(|error| self.explain(&error))
    }

    /// Returns the last run, to look up its rows.
    pub fn last_run(&self) -> Result<Option<Run>> {
        let query = "SELECT id, submitted FROM runs ORDER BY id DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            let submitted: i64 = row.get(1)?;
            Ok(Run { id: row.get(0)?, submitted: submitted.cast_unsigned(), resumed: true })
        };
        let found = self.connection.query_row(query, [], read).optional();
        found.map_err(|error| self.explain(&error))
    }

    /// Returns all runs.
    pub fn runs(&self) -> Result<Vec<RunRow>> {
        let look = || {
            let query = "SELECT id, began, ended, state, confirmed, failed FROM runs ORDER BY id";
            let mut statement = self.connection.prepare(query)?;
            let rows = statement.query_map([], |row| {
                Ok(RunRow {
                    run: row.get(0)?,
                    began: row.get(1)?,
                    ended: row.get(2)?,
                    state: row.get(3)?,
                    confirmed: row.get(4)?,
                    failed: row.get(5)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        look().map_err(|error| self.explain(&error))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(reserve) = &self.reserve {
            // A leftover reserve file does no harm.
            let _ = fs::remove_file(reserve);
        }
    }
}

/// Returns the seconds since 1970.
fn now() -> i64 {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)
}
