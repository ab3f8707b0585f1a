//! Finds rows that a later row of the same user supersedes, for any number of rows in little
//! memory.
//!
//! Ids are sorted in parts, which are written to temporary files and then merged. Only one bit per
//! row stays in memory.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

/// Number of rows that are sorted in memory: 8 MiB.
const PART: usize = 512 * 1024;

/// Maximum number of examples.
const EXAMPLES: usize = 5;

/// Collects the ids of rows.
#[derive(Default)]
pub struct Ids {
    part: Vec<(i64, u64)>,
    written: Vec<File>,
    rows: u64,
}

/// The rows that were found.
#[derive(Default)]
pub struct Superseded {
    /// One bit per row.
    bits: Vec<u64>,
    pub rows: u64,
    pub users: u64,
    /// A few examples of rows of the same user: an earlier and a later one.
    pub examples: Vec<(u64, u64)>,
}

impl Ids {
    /// Adds the id of a row; rows are numbered from 0.
    pub fn add(&mut self, id: i64, row: u64) -> io::Result<()> {
        self.rows = self.rows.max(row + 1);
        self.part.push((id, row));
        if self.part.len() < PART {
            return Ok(());
        }
        self.part.sort_unstable();
        let mut writer = BufWriter::new(tempfile::tempfile()?);
        for (id, row) in self.part.drain(..) {
            writer.write_all(&id.to_le_bytes())?;
            writer.write_all(&row.to_le_bytes())?;
        }
        let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        self.written.push(file);
        Ok(())
    }

    /// Finds the rows that a later one supersedes.
    pub fn finish(mut self) -> io::Result<Superseded> {
        let words = usize::try_from(self.rows.div_ceil(64)).map_err(io::Error::other)?;
        let mut found = Superseded { bits: vec![0; words], ..Superseded::default() };
        self.part.sort_unstable();
        let mut parts: Vec<Part> = vec![Part::Memory(self.part.into_iter())];
        parts.extend(self.written.into_iter().map(|file| Part::Disk(BufReader::new(file))));
        let mut heap = BinaryHeap::new();
        for (index, part) in parts.iter_mut().enumerate() {
            if let Some(entry) = part.next()? {
                heap.push(Reverse((entry, index)));
            }
        }
        let mut last: Option<(i64, u64)> = None;
        while let Some(Reverse(((id, row), index))) = heap.pop() {
            match last {
                Some((same, earlier)) if same == id => found.set(earlier, row),
                _ => found.users += 1,
            }
            last = Some((id, row));
            if let Some(entry) = parts.get_mut(index).map(Part::next).transpose()?.flatten() {
                heap.push(Reverse((entry, index)));
            }
        }
        Ok(found)
    }
}

impl Superseded {
    fn set(&mut self, row: u64, later: u64) {
        self.rows += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push((row, later));
        }
        if let Some(word) = usize::try_from(row / 64).ok().and_then(|word| self.bits.get_mut(word))
        {
            *word |= 1 << (row % 64);
        }
    }

    /// Returns whether a later row is of the same user.
    pub fn contains(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

/// A sorted part.
enum Part {
    Memory(std::vec::IntoIter<(i64, u64)>),
    Disk(BufReader<File>),
}

impl Part {
    fn next(&mut self) -> io::Result<Option<(i64, u64)>> {
        match self {
            Self::Memory(entries) => Ok(entries.next()),
            Self::Disk(reader) => {
                let (mut id, mut row) = ([0; 8], [0; 8]);
                match reader.read_exact(&mut id) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                    Err(error) => return Err(error),
                }
                reader.read_exact(&mut row)?;
                Ok(Some((i64::from_le_bytes(id), u64::from_le_bytes(row))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_rows_are_found_across_all_parts() {
        let mut ids = Ids::default();
        let rows = 2 * PART as u64 + 1000;
        for row in 0..rows {
            // Every user occurs twice, the second time far behind the first.
            ids.add((row % (rows / 2)).cast_signed() + 1, row).unwrap();
        }
        assert_eq!(ids.written.len(), 2);
        let found = ids.finish().unwrap();
        assert_eq!((found.rows, found.users), (rows / 2, rows / 2));
        assert!((0..rows).all(|row| found.contains(row) == (row < rows / 2)));
        assert_eq!(found.examples.first(), Some(&(0, rows / 2)));
    }

    #[test]
    fn few_rows_are_kept_in_memory() {
        let mut ids = Ids::default();
        for (row, id) in [7, 8, 7, 7].into_iter().enumerate() {
            ids.add(id, row as u64).unwrap();
        }
        let found = ids.finish().unwrap();
        assert_eq!([0, 1, 2, 3].map(|row| found.contains(row)), [true, false, true, false]);
        assert!(!found.contains(1_000_000));
        assert_eq!(found.examples, [(0, 2), (2, 3)]);
    }
}
