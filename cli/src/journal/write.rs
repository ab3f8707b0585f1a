//! Writes the rows of the journal: before they are submitted, and when they have an outcome.

use std::fs;

use rusqlite::Transaction;

use super::file::{explain, is_full};
use super::record::{Became, Failed, Outcome, Run, Sequence};
use super::{now, Journal};
use crate::failure::{Failure, Result};

impl Journal {
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
}
