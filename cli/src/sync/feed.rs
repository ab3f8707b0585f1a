//! The reading side of a run: reads rows, decides which are sent, and submits them.
//!
//! Before rows are submitted, the journal records up to which row. A resumed run reads the files
//! twice: first for the rows that were submitted and have no outcome, then for the rest.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, PoisonError};

use commbox::{Batch, ErrorKind};

use crate::args::Duplicates;
use crate::check::{in_file, Inputs};
use crate::duplicates::Superseded;
use crate::failure::{Failure, Result};
use crate::input::{Original, Problem, Read, Row, Rows};
use crate::journal::{Confirmed, Hash, Hasher, Journal, Run};
use crate::rejects::read_tag;

/// Number of rows that are submitted at a time.
const CHUNK: usize = 64;

/// A row that was submitted.
pub struct Pending {
    pub id: i64,
    pub hash: Hash,
    pub place: Place,
    pub original: Original,
}

/// The position of a row.
#[derive(Clone, Copy)]
pub struct Place {
    /// Its number over all files, from 0.
    pub row: u64,
    /// The index of its file.
    pub file: usize,
    pub line: u64,
}

/// A row that cannot be sent.
pub struct Wrong {
    pub place: Place,
    pub id: i64,
    pub original: Original,
    pub problem: Problem,
}

/// The number of rows that are not sent, by reason.
#[derive(Default)]
pub struct LeftOut {
    /// Confirmed earlier in the resumed run.
    pub confirmed: AtomicU64,
    /// Unchanged since they were last confirmed.
    pub unchanged: AtomicU64,
    /// A newer row of the same user was confirmed.
    pub outdated: AtomicU64,
    /// A later row of the same user follows in the file.
    pub superseded: AtomicU64,
    /// Rows without a field to send.
    pub empty: AtomicU64,
}

/// The input of the reading side.
pub struct Feed<'a> {
    pub inputs: &'a Inputs,
    pub superseded: Option<&'a Superseded>,
    pub changed_only: bool,
    pub journal: &'a Mutex<&'a mut Journal>,
    pub hasher: Hasher,
    pub run: &'a Run,
    pub batch: &'a Batch,
    pub pending: &'a Mutex<HashMap<u64, Pending>>,
    pub wrong: Sender<Wrong>,
    pub left_out: &'a LeftOut,
    pub stop: &'a AtomicBool,
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which rows a pass over the files submits.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// Rows that may have been sent.
    Unknown,
    All,
}

/// The rows that a resumed run has already handled.
#[derive(Default)]
struct Seen {
    /// One bit per row.
    rows: Vec<u64>,
    /// The last row of each user that the first pass sends.
    users: HashMap<i64, u64>,
}

impl Seen {
    fn add(&mut self, row: u64) {
        let Ok(word) = usize::try_from(row / 64) else { return };
        if word >= self.rows.len() {
            self.rows.resize(word + 1, 0);
        }
        if let Some(word) = self.rows.get_mut(word) {
            *word |= 1 << (row % 64);
        }
    }

    fn contains(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).ok().and_then(|word| self.rows.get(word));
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

/// A row that may be sent.
struct Candidate {
    pending: Pending,
    json: String,
    origin: Option<String>,
}

impl Feed<'_> {
    /// Submits all rows until the run stops. The caller closes the batch.
    pub fn run(&self) -> Result<()> {
        let mut seen = Seen::default();
        if self.run.resumed && self.run.submitted > 0 {
            self.pass(Pass::Unknown, &mut seen)?;
        }
        self.pass(Pass::All, &mut seen)
    }

    fn pass(&self, pass: Pass, seen: &mut Seen) -> Result<()> {
        let (mut number, mut row) = (0, Row::default());
        let mut chunk = Vec::with_capacity(CHUNK);
        for (file, source) in self.inputs.sources.iter().enumerate() {
            let mut rows = Rows::open(source, &self.inputs.mapping)?;
            loop {
                if self.stop.load(Relaxed) || pass == Pass::Unknown && number >= self.run.submitted
                {
                    break;
                }
                let named = |error| in_file(source, error);
                let superseded = self.superseded.is_some_and(|found| found.contains(number));
                if superseded || seen.contains(number) {
                    if !rows.skip().map_err(named)? {
                        break;
                    }
                    if superseded && pass == Pass::All {
                        self.left_out.superseded.fetch_add(1, Relaxed);
                    }
                    number += 1;
                    continue;
                }
                let read = rows.read(&mut row).map_err(named)?;
                let place = Place { row: number, file, line: row.line };
                match read {
                    Read::End => break,
                    Read::Wrong(problem) if pass == Pass::All => {
                        let original = row.original.clone();
                        let wrong = Wrong { place, id: row.id, original, problem };
                        // Sending fails only if the collecting side has ended, and then the run is
                        // over.
                        let _ = self.wrong.send(wrong);
                    }
                    Read::Update if row.is_empty && pass == Pass::All => {
                        self.left_out.empty.fetch_add(1, Relaxed);
                    }
                    Read::Wrong(_) => {}
                    Read::Update if row.is_empty => {}
                    Read::Update => {
                        let hash = self.hasher.hash(row.id, &row.json);
                        let original = row.original.clone();
                        let pending = Pending { id: row.id, hash, place, original };
                        let json = std::mem::take(&mut row.json);
                        chunk.push(Candidate { pending, json, origin: row.origin.take() });
                    }
                }
                number += 1;
                if chunk.len() == CHUNK {
                    self.hand_over(&mut chunk, pass, seen)?;
                }
            }
        }
        self.hand_over(&mut chunk, pass, seen)
    }

    /// Submits those of the rows that are to be sent.
    fn hand_over(&self, chunk: &mut Vec<Candidate>, pass: Pass, seen: &mut Seen) -> Result<()> {
        let Some(last) = chunk.last().map(|candidate| candidate.pending.place.row) else {
            return Ok(());
        };
        {
            let mut journal = lock(self.journal);
            let mut kept = Vec::with_capacity(chunk.len());
            for candidate in chunk.drain(..) {
                if self.is_sent(&candidate, &journal, pass, seen)? {
                    kept.push(candidate);
                }
            }
            *chunk = kept;
            if !chunk.is_empty() {
                let handed = chunk.iter().map(|candidate| {
                    let Pending { id, place, .. } = &candidate.pending;
                    (*id, self.run.sequence(place.row))
                });
                journal.submit(self.run, last + 1, handed)?;
            }
        }
        for Candidate { pending, json, .. } in chunk.drain(..) {
            if self.stop.load(Relaxed) {
                return Ok(());
            }
            let (tag, id) = (pending.place.row, pending.id);
            lock(self.pending).insert(tag, pending);
            match self.batch.submit(tag, id, json, None) {
                Ok(()) => {}
                Err(error) => {
                    lock(self.pending).remove(&tag);
                    let kind = error.kind();
                    // The batch was cancelled, or has stopped by itself.
                    if matches!(kind, ErrorKind::Cancelled | ErrorKind::InvalidArgument) {
                        self.stop.store(true, Relaxed);
                        return Ok(());
                    }
                    return Err(Failure::from(error));
                }
            }
        }
        Ok(())
    }

    /// Returns whether a row is to be sent.
    fn is_sent(
        &self,
        candidate: &Candidate,
        journal: &Journal,
        pass: Pass,
        seen: &mut Seen,
    ) -> Result<bool> {
        let Candidate { pending: Pending { id, hash, place, .. }, origin, .. } = candidate;
        let sequence = self.run.sequence(place.row);
        let left_out = |count: &AtomicU64| {
            count.fetch_add(1, Relaxed);
            Ok(false)
        };
        if !self.run.resumed && !self.changed_only && origin.is_none() {
            return Ok(true);
        }
        let confirmed = journal.confirmed(*id)?;
        if let Some(Confirmed { sequence: last, .. }) = confirmed.filter(|_| self.run.resumed) {
            if last >= sequence {
                seen.add(place.row);
                let newer = last > sequence;
                return left_out(if newer {
                    &self.left_out.outdated
                } else {
                    &self.left_out.confirmed
                });
            }
        }
        if let (Some(tag), Some(Confirmed { sequence: last, .. })) = (origin, confirmed) {
            let earlier = read_tag(tag.as_bytes(), journal.name());
            if earlier.is_some_and(|(earlier, _)| last > earlier) {
                return left_out(&self.left_out.outdated);
            }
        }
        if pass == Pass::Unknown {
            let delivery = journal.failed_delivery(sequence)?;
            let unknown = match delivery.as_deref() {
                Some(delivery) => delivery == "unknown",
                None => journal.is_handed(*id, sequence)?,
            };
            if unknown {
                seen.add(place.row);
                seen.users.insert(*id, place.row);
            }
            return Ok(unknown);
        }
        if seen.users.get(id).is_some_and(|row| *row > place.row) {
            return left_out(&self.left_out.outdated);
        }
        match confirmed.filter(|confirmed| self.changed_only && confirmed.hash == *hash) {
            // A row that may have been delivered since then may have changed the user.
            Some(confirmed) if !journal.is_uncertain(*id, confirmed.sequence)? => {
                left_out(&self.left_out.unchanged)
            }
            _ => Ok(true),
        }
    }
}

/// Returns the superseded rows if the rules leave them out.
pub fn left_out(found: &Superseded, duplicates: Duplicates) -> Option<&Superseded> {
    (duplicates != Duplicates::All && found.rows > 0).then_some(found)
}
