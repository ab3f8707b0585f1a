//! Handles: opaque numbers in the form of pointers, which are looked up in a table and never
//! dereferenced. A handle that is NULL, already freed or made up is an error, not undefined
//! behaviour.

use std::ffi::c_void;
use std::sync::PoisonError;

// tests/loom tries every order in which threads may run.
#[cfg(loom)]
use loom::sync::{Arc, RwLock};
#[cfg(not(loom))]
use std::sync::{Arc, RwLock};

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::ffi::last_error;
use crate::fork;

/// A handle consists of these bits, from the low end: the type, the index of a slot, and the
/// generation of the slot.
const KIND_BITS: u32 = 3;
#[cfg(not(loom))]
const INDEX_BITS: u32 = if usize::BITS >= 64 { 24 } else { 14 };
/// So many bits that few are left for generations, which loom then exhausts.
#[cfg(loom)]
const INDEX_BITS: u32 = usize::BITS - KIND_BITS - 2;
const GENERATION_BITS: u32 = usize::BITS - KIND_BITS - INDEX_BITS;
const LAST_INDEX: usize = (1 << INDEX_BITS) - 1;
const LAST_GENERATION: usize = (1 << GENERATION_BITS) - 1;

/// The live objects of one type, by handle. The tables are the only global state.
pub(crate) struct Table<T> {
    kind: usize,
    name: &'static str,
    maker: &'static str,
    slots: RwLock<Slots<T>>,
}

struct Slots<T> {
    all: Vec<Slot<T>>,
    free: Vec<usize>,
}

struct Slot<T> {
    generation: usize,
    object: Option<Arc<T>>,
}

impl<T> Table<T> {
    /// Creates a table. `kind` is from 1 to 7 and different for each table, so that no handle is
    /// valid in two tables, or is NULL.
    #[cfg(not(loom))]
    pub(crate) const fn new(kind: usize, name: &'static str, maker: &'static str) -> Self {
        Self { kind, name, maker, slots: RwLock::new(Slots { all: Vec::new(), free: Vec::new() }) }
    }

    /// Creates a table. It is not `const`, because loom's lock is not.
    #[cfg(loom)]
    pub(crate) fn new(kind: usize, name: &'static str, maker: &'static str) -> Self {
        Self { kind, name, maker, slots: RwLock::new(Slots { all: Vec::new(), free: Vec::new() }) }
    }

    /// Ends a function that creates handles: returns the handle, or NULL on failure, whose reason
    /// is kept.
    #[cfg(not(loom))]
    pub(crate) fn made<C>(&self, made: std::result::Result<*mut C, i32>) -> *mut C {
        last_error::explain_null(self.maker);
        made.unwrap_or(std::ptr::null_mut())
    }

    /// Stores `object` and returns its handle.
    pub(crate) fn insert<C>(&self, object: T) -> Result<*mut C> {
        self.write(|slots| self.take_slot(slots, object))
    }

    fn take_slot<C>(&self, slots: &mut Slots<T>, object: T) -> Result<*mut C> {
        failpoint::reach("insert");
        let index = slots.free.pop().unwrap_or(slots.all.len());
        if index == slots.all.len() {
            if index > LAST_INDEX {
                let why = format!(
                    "{} {}s exist; free those that are no longer used",
                    LAST_INDEX + 1,
                    self.name
                );
                return Err(Error::new(ErrorKind::InvalidHandle, why));
            }
            slots.all.push(Slot { generation: 0, object: None });
        }
        let Some(slot) = slots.all.get_mut(index) else {
            return Err(Error::new(ErrorKind::Internal, "the table of handles is inconsistent"));
        };
        slot.generation += 1;
        slot.object = Some(Arc::new(object));
        count::made();
        let token = (((slot.generation << INDEX_BITS) | index) << KIND_BITS) | self.kind;
        Ok(token as *mut C)
    }

    /// Returns the object of a handle. It lives as long as the caller uses it, even if the handle
    /// is freed meanwhile.
    pub(crate) fn get<C>(&self, token: *const C) -> Result<Arc<T>> {
        let found = self.parts(token).and_then(|(index, generation)| {
            self.read(|slots| {
                failpoint::reach("get");
                let slot = slots.all.get(index).filter(|slot| slot.generation == generation)?;
                slot.object.clone()
            })
        });
        found.ok_or_else(|| self.invalid(token.cast()))
    }

    /// Removes an object and invalidates its handle. NULL does nothing.
    pub(crate) fn remove<C>(&self, token: *mut C) -> Result<()> {
        if token.is_null() {
            return Ok(());
        }
        let object = self.parts(token).and_then(|(index, generation)| {
            self.write(|slots| {
                failpoint::reach("remove");
                let slot = slots.all.get_mut(index).filter(|slot| slot.generation == generation)?;
                let object = slot.object.take()?;
                count::freed();
                // Without generations left, an old handle would be valid again.
                if generation < LAST_GENERATION {
                    slots.free.push(index);
                }
                Some(object)
            })
        });
        // The object is dropped after the lock is released.
        object.map(drop).ok_or_else(|| self.invalid(token.cast()))
    }

    fn read<R>(&self, read: impl FnOnce(&Slots<T>) -> R) -> R {
        fork::held(|| read(&self.slots.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn write<R>(&self, write: impl FnOnce(&mut Slots<T>) -> R) -> R {
        fork::held(|| write(&mut self.slots.write().unwrap_or_else(PoisonError::into_inner)))
    }

    fn parts<C>(&self, token: *const C) -> Option<(usize, usize)> {
        let bits = token as usize;
        let of_this_kind = bits & ((1 << KIND_BITS) - 1) == self.kind;
        of_this_kind.then_some(((bits >> KIND_BITS) & LAST_INDEX, bits >> (KIND_BITS + INDEX_BITS)))
    }

    fn invalid(&self, token: *const c_void) -> Error {
        let maker = self.maker;
        let message = if !token.is_null() {
            format!("is an invalid handle: already freed, or not returned by {maker}()")
        } else if let Some(cause) = last_error::cause_of_null(maker) {
            format!("is NULL because {maker}() failed: {cause}")
        } else {
            format!("is NULL; pass the value that {maker}() returned")
        };
        Error::problem(ErrorKind::InvalidHandle, self.name, message)
    }
}

/// Counts the live handles in test builds. The tables keep their objects reachable, so a leak
/// checker does not see an object that a program forgot to free.
#[cfg(feature = "failpoints")]
mod count {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static LIVE: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn made() {
        LIVE.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn freed() {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of live handles of all types. No release has this function.
    ///
    /// cbindgen:ignore
    #[no_mangle]
    pub extern "C" fn commbox_live_handles() -> usize {
        LIVE.load(Ordering::Relaxed)
    }
}

#[cfg(not(feature = "failpoints"))]
mod count {
    #[inline(always)]
    pub(super) fn made() {}

    #[inline(always)]
    pub(super) fn freed() {}
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn table(kind: usize) -> Table<u32> {
        Table::new(kind, "client", "commbox_client_new")
    }

    #[test]
    fn a_handle_is_valid_until_freed_and_never_again() {
        let table = table(1);
        let first: *mut u8 = table.insert(7).unwrap();
        assert_eq!(*table.get(first).unwrap(), 7);
        let held = table.get(first).unwrap();
        table.remove(first).unwrap();
        assert_eq!(*held, 7);
        assert!(table.get(first).is_err() && table.remove(first).is_err());
        let second: *mut u8 = table.insert(8).unwrap();
        assert_ne!(first, second);
        assert!(table.get(first).is_err());
        assert_eq!(*table.get(second).unwrap(), 8);
        assert!(table.remove(std::ptr::null_mut::<u8>()).is_ok());
    }

    #[test]
    fn invalid_handles_are_rejected() {
        let (table, other) = (table(1), table(2));
        let good: *mut u8 = table.insert(7).unwrap();
        let other_kind: *mut u8 = other.insert(7).unwrap();
        let bits = good as usize;
        let next_generation = bits + (1 << (KIND_BITS + INDEX_BITS));
        for token in
            [0, 1, 2, 3, 8, usize::MAX, bits + 1, bits + 4, next_generation, other_kind as usize]
        {
            let error = table.get(token as *const u8).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{token:#x}");
        }
        assert!(table.get(good).is_ok());
    }

    #[test]
    fn a_slot_is_retired_before_its_generation_wraps() {
        let table = table(1);
        let first: *mut u8 = table.insert(1).unwrap();
        table.remove(first).unwrap();
        table.slots.write().unwrap().all[0].generation = LAST_GENERATION - 1;
        let last: *mut u8 = table.insert(2).unwrap();
        assert_eq!(*table.get(last).unwrap(), 2);
        table.remove(last).unwrap();
        assert!(table.get(last).is_err());
        let fresh: *mut u8 = table.insert(3).unwrap();
        assert_eq!(table.parts(fresh).unwrap().0, 1);
    }
}
