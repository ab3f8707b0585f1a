//! Reads the rows of the journal: the confirmed and failed ones, and those without an outcome.

use rusqlite::OptionalExtension;

use super::record::{Confirmed, FailedRow, Run, Sequence, ROW_BITS};
use super::Journal;
use crate::failure::Result;

impl Journal {
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
