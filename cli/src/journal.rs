//! The journal: what became of each row, in an SQLite database that survives a kill at any moment.
//!
//! Rows are numbered over all runs of a journal: a row's *sequence* is its run and its place in it,
//! so that of two rows of a user the newer one has the greater sequence. The journal holds
//!
//! - `users`: of each user the sequence, the hash and the time of the last row that was confirmed;
//! - `failed`: the rows that failed since then;
//! - `handed`: the rows that were handed over to be sent and have no outcome. This is written
//!   before they are, so what is there after a kill may have been sent;
//! - `runs`: of each run how far it came.
//!
//! It holds no field of a user, but for the id. Hashes are keyed with a secret of the journal.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction};

use crate::failure::{Doing, Failure, Result};

/// A row's place over all runs.
pub type Sequence = i64;

/// Rows of a run: the lower bits of a sequence.
const ROW_BITS: u32 = 40;

/// The layout of the database.
const VERSION: i64 = 1;

/// Room on the disk that is given up when it is full, so that what is under way can be written.
const RESERVE: usize = 1024 * 1024;

/// A hash of an update.
pub type Hash = [u8; 16];

/// The journal, which this process alone uses.
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    key: hmac::Key,
    /// Names the journal in files of rejects.
    name: String,
    /// Whether there may be failed rows.
    has_failed: bool,
    reserve: Option<PathBuf>,
}

/// Hashes updates, for those who have the journal's secret alone.
pub struct Hasher(hmac::Key);

impl Hasher {
    pub fn hash(&self, id: i64, json: &str) -> Hash {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&id.to_le_bytes());
        context.update(json.as_bytes());
        let tag = context.sign();
        let mut hash = Hash::default();
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        hash
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    pub id: i64,
    /// So many rows, of the first ones, were handed over to be sent.
    pub submitted: u64,
    /// Whether it goes on.
    pub resumed: bool,
}

impl Run {
    /// The sequence of a row, numbered from 0.
    pub fn sequence(&self, row: u64) -> Sequence {
        (self.id << ROW_BITS) | row.cast_signed()
    }
}

/// What was confirmed last for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    pub sequence: Sequence,
    pub hash: Hash,
}

/// What became of a row.
pub struct Outcome {
    pub sequence: Sequence,
    pub id: i64,
    pub hash: Hash,
    pub became: Became,
}

pub enum Became {
    Confirmed,
    Failed(Failed),
    /// It came back as it was.
    Unsent,
}

/// Why a row failed.
#[derive(Clone, Debug)]
pub struct Failed {
    pub code: i32,
    /// The library's words, which hold no value of a user.
    pub message: String,
    pub delivery: &'static str,
    pub attempts: u32,
    /// Finds it in the file of rejects.
    pub stamp: u64,
}

/// A failed row, as the journal shows it.
#[derive(serde::Serialize)]
pub struct FailedRow {
    pub row: u64,
    pub user_id: i64,
    pub code: i64,
    pub message: String,
    pub delivery: String,
    pub attempts: i64,
    pub at: i64,
}

/// A run, as the journal shows it.
#[derive(serde::Serialize)]
pub struct RunRow {
    pub run: i64,
    pub began: i64,
    pub ended: Option<i64>,
    pub state: String,
    pub confirmed: i64,
    pub failed: i64,
}

impl Journal {
    /// Opens a journal, or makes one. No other process may use it meanwhile.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut journal = Self::open_with(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let reserve = appended(path, ".reserve");
        let written = write_reserve(&reserve);
        written.doing(|| format!("reserve room beside the journal {}", path.display()))?;
        journal.reserve = Some(reserve);
        Ok(journal)
    }

    /// Opens a journal that is there, to look at it.
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

    /// The last run, if it did not come to its end.
    pub fn interrupted(&self) -> Result<Option<i64>> {
        let query =
            "SELECT id FROM runs WHERE id = (SELECT max(id) FROM runs) AND state != 'finished'";
        let found = self.connection.query_row(query, [], |row| row.get(0)).optional();
        found.map_err(|error| self.explain(&error))
    }

    /// Begins a run, or goes on with the last one, if it read the same: `fingerprint` is of the
    /// files and the rules.
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

    /// What was confirmed last for a user.
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

    /// Whether a row failed, and by what delivery.
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

    /// By what stamp a failed row is found in its file of rejects.
    pub fn reject_stamp(&self, sequence: Sequence) -> Result<Option<u64>> {
        let look = || {
            let query = "SELECT stamp FROM failed WHERE sequence = ?1";
            let mut statement = self.connection.prepare_cached(query)?;
            statement.query_row([sequence], |row| row.get::<_, i64>(0)).optional()
        };
        let found = look().map_err(|error| self.explain(&error))?;
        Ok(found.map(i64::cast_unsigned))
    }

    /// How many rows of a run have failed, and were not confirmed or superseded since.
    pub fn failed(&self, run: &Run) -> Result<u64> {
        let query = "SELECT count(*) FROM failed WHERE sequence >= ?1 AND sequence < ?2";
        let range = (run.sequence(0), (run.id + 1) << ROW_BITS);
        let found = self.connection.query_row(query, range, |row| row.get::<_, i64>(0));
        found.map(i64::cast_unsigned).map_err(|error| self.explain(&error))
    }

    /// How many rows of a run have failed by each code.
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

    /// Whether a row was handed over, and has no outcome.
    pub fn is_handed(&self, id: i64, sequence: Sequence) -> Result<bool> {
        let look = || {
            let query = "SELECT EXISTS (SELECT 1 FROM handed WHERE id = ?1 AND sequence = ?2)";
            self.connection.prepare_cached(query)?.query_row((id, sequence), |row| row.get(0))
        };
        look().map_err(|error| self.explain(&error))
    }

    /// Whether a row of this user may have been delivered since `confirmed`, without an answer.
    pub fn is_uncertain(&self, id: i64, confirmed: Sequence) -> Result<bool> {
        let look = || {
            let query = "SELECT EXISTS (SELECT 1 FROM handed WHERE id = ?1 AND sequence > ?2) OR \
                         EXISTS (SELECT 1 FROM failed WHERE id = ?1 AND sequence > ?2 \
                                 AND delivery = 'unknown')";
            self.connection.prepare_cached(query)?.query_row((id, confirmed), |row| row.get(0))
        };
        look().map_err(|error| self.explain(&error))
    }

    /// Writes that these rows, of the first `rows` ones, are handed over to be sent.
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

    /// Writes what became of rows.
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

    /// Writes in one piece. On a full disk the reserve is given up for it.
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
                // It may be gone; then there is no more room, and the next try says so.
                let _ = fs::remove_file(reserve);
                once().map_err(|error| explain(&error, path))?;
                // What is under way is written; nothing more is to be sent.
                let why = "the disk with the journal is full; what was confirmed so far is written";
                return Err(Failure::usage(format!("{why} to {}", path.display())));
            }
        }
        Err(explain(&error, path))
    }

    /// All runs.
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

    /// How many users have a row that was confirmed.
    pub fn users(&self) -> Result<u64> {
        let found =
            self.connection.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0));
        found.map(i64::cast_unsigned).map_err(|error| self.explain(&error))
    }

    /// The failed rows of the last run, each given to `each`.
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

    /// The last run, to look its rows up.
    pub fn last_run(&self) -> Result<Option<Run>> {
        let query = "SELECT id, submitted FROM runs ORDER BY id DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            let submitted: i64 = row.get(1)?;
            Ok(Run { id: row.get(0)?, submitted: submitted.cast_unsigned(), resumed: true })
        };
        let found = self.connection.query_row(query, [], read).optional();
        found.map_err(|error| self.explain(&error))
    }

    /// What failed a row.
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
            // What stays of it does no harm.
            let _ = fs::remove_file(reserve);
        }
    }
}

/// Takes the database for this process alone, and makes what is not there. Returns its secret and
/// its name.
fn prepare(connection: &Connection) -> rusqlite::Result<(Vec<u8>, String)> {
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

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn explain(error: &rusqlite::Error, path: &Path) -> Failure {
    let path = path.display();
    Failure::usage(match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!(
                "the journal {path} is in use by another run; wait for its end, or name another \
                 one by --journal"
            )
        }
        Some(ErrorCode::DiskFull) => format!("the disk with the journal {path} is full"),
        Some(ErrorCode::NotADatabase) => {
            format!("{path} is no journal; name another one by --journal")
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
fn restrict(path: &Path, create: bool) {
    if create && !path.exists() {
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // If it cannot be made, opening it says why.
        let _ = options.open(path);
    }
}

fn write_reserve(path: &Path) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; RESERVE])?;
    file.sync_data()
}

/// Seconds since 1970.
fn now() -> i64 {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)
}
