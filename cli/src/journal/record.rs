//! The contents of the journal, and how it identifies rows and updates.

use ring::hmac;

/// A row's position over all runs.
pub type Sequence = i64;

/// Number of lower bits of a sequence that contain the row; the others contain the run.
pub(super) const ROW_BITS: u32 = 40;

/// A hash of an update.
pub type Hash = [u8; 16];

/// Hashes updates with the journal's secret, so that nobody without it can compute the hashes.
pub struct Hasher(pub(super) hmac::Key);

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
    /// The number of rows, from the first one, that were submitted.
    pub submitted: u64,
    /// Whether the run is resumed.
    pub resumed: bool,
}

impl Run {
    /// Returns the sequence of a row, numbered from 0.
    pub fn sequence(&self, row: u64) -> Sequence {
        (self.id << ROW_BITS) | row.cast_signed()
    }
}

/// What was last confirmed for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    pub sequence: Sequence,
    pub hash: Hash,
}

/// The outcome of a row.
pub struct Outcome {
    pub sequence: Sequence,
    pub id: i64,
    pub hash: Hash,
    pub became: Became,
}

pub enum Became {
    Confirmed,
    Failed(Failed),
    /// The row was submitted but not sent.
    Unsent,
}

/// Why a row failed.
#[derive(Clone, Debug)]
pub struct Failed {
    pub code: i32,
    /// The library's message, which contains no value of a user.
    pub message: String,
    pub delivery: &'static str,
    pub attempts: u32,
    /// Identifies the row in the file of rejects.
    pub stamp: u64,
}

/// A failed row, as `commbox journal` shows it.
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

/// A run, as `commbox journal` shows it.
#[derive(serde::Serialize)]
pub struct RunRow {
    pub run: i64,
    pub began: i64,
    pub ended: Option<i64>,
    pub state: String,
    pub confirmed: i64,
    pub failed: i64,
}
