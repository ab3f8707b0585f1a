//! What the journal records, and how rows and updates are named in it.

use ring::hmac;

/// A row's place over all runs.
pub type Sequence = i64;

/// Rows of a run: the lower bits of a sequence.
pub(super) const ROW_BITS: u32 = 40;

/// A hash of an update.
pub type Hash = [u8; 16];

/// Hashes updates, for those who have the journal's secret alone.
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
