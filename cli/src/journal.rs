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

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ring::hmac;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};

use crate::failure::{Doing, Failure, Result};

use file::{explain, is_full, prepare, restrict, write_reserve};
use record::ROW_BITS;

pub use file::appended;
pub use record::{
    Became, Confirmed, Failed, FailedRow, Hash, Hasher, Outcome, Run, RunRow, Sequence,
};

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

    /// Returns what was last confirmed for a user.
    pub fn confirmed(&self, id: i64) -> Result<Option<Confirmed>> {
        let look = || {
            let query = "SELECT sequence, hash FROM users WHERE id = ?1";
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Confirmed { sequence: row.get(0)?, hash: row.get(1)? })
            };
            self.connection.prepare_cached(query)?.query_row([id], read).optional()
        };
        look().map_err(|error| self.explain(&error))
    }

    /// Returns the delivery of a row that failed; none if it did not fail.
    pub fn failed_delivery(&self, sequence: Sequence) -> Result<Option<String>> {
        if !self.has_failed {
            return Ok(None);
        }
        let look = || {
            let query = "SELECT delivery FROM failed WHERE sequence = ?1";
            self.connection
                .prepare_cached(query)?
                .query_row([sequence], |row| row.get(0))
                .optional()
        };
        look().map_err(|error| self.explain(&error))
    }

    /// Returns the stamp that identifies a failed row in its file of rejects.
    pub fn reject_stamp(&self, sequence: Sequence) -> Result<Option<u64>> {
        let look = || {
            let query = "SELECT stamp FROM failed WHERE sequence = ?1";
            let mut statement = self.connection.prepare_cached(query)?;
            statement.query_row([sequence], |row| row.get::<_, i64>(0)).optional()
        };
        let found = look().map_err(|error| self.explain(&error))?;
        Ok(found.map(i64::cast_unsigned))
    }

    /// Returns the number of rows of a run that failed and were not confirmed or superseded since.
    pub fn failed(&self, run: &Run) -> Result<u64> {
        let query = "SELECT count(*) FROM failed WHERE sequence >= ?1 AND sequence < ?2";
        let range = (run.sequence(0), (run.id + 1) << ROW_BITS);
        let found = self.connection.query_row(query, range, |row| row.get::<_, i64>(0));
        found.map(i64::cast_unsigned).map_err(|error| self.explain(&error))
    }

    /// Returns the number of failed rows of a run for each code.
    pub fn failed_by_code(&self, run: &Run) -> Result<Vec<(i32, u64, String)>> {
        let look = || {
            let query = "SELECT code, count(*), min(message) FROM failed \
                         WHERE sequence >= ?1 AND sequence < ?2 GROUP BY code ORDER BY 2 DESC";
            let mut statement = self.connection.prepare(query)?;
            let range = (run.sequence(0), (run.id + 1) << ROW_BITS);
            let read = |row: &rusqlite::Row<'_>| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned(), row.get(2)?))
            };
            let rows = statement.query_map(range, read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        look().map_err(|error| self.explain(&error))
    }

    /// Returns whether a row was submitted and has no outcome.
    pub fn is_handed(&self, id: i64, sequence: Sequence) -> Result<bool> {
        let look = || {
            let query = "SELECT EXISTS (SELECT 1 FROM handed WHERE id = ?1 AND sequence = ?2)";
            self.connection.prepare_cached(query)?.query_row((id, sequence), |row| row.get(0))
        };
        look().map_err(|error| self.explain(&error))
    }

    /// Returns whether a row of this user may have been delivered since `confirmed` without an
    /// answer.
    pub fn is_uncertain(&self, id: i64, confirmed: Sequence) -> Result<bool> {
        let look = || {
            let query = "SELECT EXISTS (SELECT 1 FROM handed WHERE id = ?1 AND sequence > ?2) OR \
                         EXISTS (SELECT 1 FROM failed WHERE id = ?1 AND sequence > ?2 \
                                 AND delivery = 'unknown')";
            self.connection.prepare_cached(query)?.query_row((id, confirmed), |row| row.get(0))
        };
        look().map_err(|error| self.explain(&error))
    }

    /// Records that these rows, all among the first `rows` rows, are about to be submitted.
    pub fn submit(
        &mut self,
        run: &Run,
        rows: u64,
        handed: impl Iterator<Item = (i64, Sequence)> + Clone,
    ) -> Result<()> {
        let query = "UPDATE runs SET submitted = max(submitted, ?2) WHERE id = ?1";
        let rows = rows.cast_signed();
        self.write(|transaction| {
            let mut hand =
                transaction.prepare_cached("INSERT OR IGNORE INTO handed VALUES (?1, ?2)")?;
            for row in handed.clone() {
                hand.execute(row)?;
            }
            transaction.prepare_cached(query)?.execute((run.id, rows)).map(drop)
        })
    }

    /// Records the outcomes of rows.
    pub fn record(&mut self, run: &Run, outcomes: &[Outcome]) -> Result<()> {
        let is_confirmed = |outcome: &&Outcome| matches!(outcome.became, Became::Confirmed);
        let confirmed = outcomes.iter().filter(is_confirmed).count();
        let had_failed = self.has_failed;
        let fails = outcomes.iter().any(|outcome| matches!(outcome.became, Became::Failed(_)));
        let at = now();
        self.write(|transaction| {
            let mut count = transaction
                .prepare_cached("UPDATE runs SET confirmed = confirmed + ?2 WHERE id = ?1")?;
            count.execute((run.id, confirmed as i64))?;
            let mut confirm = transaction.prepare_cached(
                "INSERT INTO users (id, sequence, hash, at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (id) DO UPDATE SET sequence = ?2, hash = ?3, at = ?4 \
                 WHERE sequence < ?2",
            )?;
            let mut settle = transaction
                .prepare_cached("DELETE FROM failed WHERE id = ?1 AND sequence <= ?2")?;
            let mut fail = transaction.prepare_cached(
                "INSERT OR REPLACE INTO failed \
                 (sequence, id, hash, code, message, delivery, attempts, at, stamp) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?;
            let mut unhand =
                transaction.prepare_cached("DELETE FROM handed WHERE id = ?1 AND sequence = ?2")?;
            let mut unhand_all = transaction
                .prepare_cached("DELETE FROM handed WHERE id = ?1 AND sequence <= ?2")?;
            for outcome in outcomes {
                let (sequence, id) = (outcome.sequence, outcome.id);
                match &outcome.became {
                    Became::Unsent => drop(unhand.execute((id, sequence))?),
                    Became::Confirmed => {
                        unhand_all.execute((id, sequence))?;
                        confirm.execute((id, sequence, outcome.hash, at))?;
                        if had_failed || fails {
                            settle.execute((id, sequence))?;
                        }
                    }
                    Became::Failed(why) => {
                        unhand.execute((id, sequence))?;
                        let stamp = why.stamp.cast_signed();
                        let (code, attempts) = (why.code, why.attempts);
                        let Outcome { hash, .. } = outcome;
                        let Failed { message, delivery, .. } = why;
                        fail.execute((
                            sequence, id, hash, code, message, delivery, attempts, at, stamp,
                        ))?;
                    }
                }
            }
            Ok(())
        })?;
        self.has_failed |= fails;
        Ok(())
    }

    /// Writes in one transaction. If the disk is full, it deletes the reserve file to make room.
    fn write(&mut self, work: impl Fn(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<()> {
        let Self { connection, reserve, path, .. } = self;
        let mut once = || {
            let transaction = connection.transaction()?;
            work(&transaction)?;
            transaction.commit()
        };
        let error = match once() {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if is_full(&error) {
            if let Some(reserve) = reserve.take() {
                // If the file is already gone, there is no more room, and the next attempt reports
                // that.
                let _ = fs::remove_file(reserve);
                once().map_err(|error| explain(&error, path))?;
                // The outcomes of updates in flight are written. No more updates may be sent.
                let why = "the disk with the journal is full; what was confirmed so far is written";
                return Err(Failure::usage(format!("{why} to {}", path.display())));
            }
        }
        Err(explain(&error, path))
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

    /// Returns the number of users with a confirmed row.
    pub fn users(&self) -> Result<u64> {
        let found =
            self.connection.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0));
        found.map(i64::cast_unsigned).map_err(|error| self.explain(&error))
    }

    /// Passes each failed row of the last run to `each`.
    pub fn failed_rows(&self, mut each: impl FnMut(FailedRow) -> Result<()>) -> Result<()> {
        let query = "SELECT sequence, id, code, message, delivery, attempts, at FROM failed \
                     WHERE sequence >> ?1 = (SELECT max(id) FROM runs) ORDER BY sequence";
        let mut statement = self.connection.prepare(query).map_err(|error| self.explain(&error))?;
        let mut rows = statement.query([ROW_BITS]).map_err(|error| self.explain(&error))?;
        while let Some(row) = rows.next().map_err(|error| self.explain(&error))? {
            let read = || -> rusqlite::Result<FailedRow> {
                let sequence: i64 = row.get(0)?;
                Ok(FailedRow {
                    row: (sequence & ((1 << ROW_BITS) - 1)).cast_unsigned() + 1,
                    user_id: row.get(1)?,
                    code: row.get(2)?,
                    message: row.get(3)?,
                    delivery: row.get(4)?,
                    attempts: row.get(5)?,
                    at: row.get(6)?,
                })
            };
            each(read().map_err(|error| self.explain(&error))?)?;
        }
        Ok(())
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

    /// Returns the error of a failed row.
    pub fn failure(&self, sequence: Sequence) -> Result<Option<(i32, String, String, u32)>> {
        let look = || {
            let query = "SELECT code, message, delivery, attempts FROM failed WHERE sequence = ?1";
            let mut statement = self.connection.prepare_cached(query)?;
            let read =
                |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
            statement.query_row([sequence], read).optional()
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
