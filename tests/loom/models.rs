//! Each model is run with every possible interleaving of its threads' steps.

use std::collections::HashSet;

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};

use crate::handle::Table;

/// Counts how often it is dropped.
struct Object {
    number: usize,
    drops: Arc<AtomicUsize>,
}

impl Drop for Object {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// The table, shared by threads. Handles are passed as numbers.
#[derive(Clone)]
struct Shared(Arc<Table<Object>>);

impl Shared {
    fn new() -> Self {
        Self(Arc::new(Table::new(1, "client", "commbox_client_new")))
    }

    /// Returns a handle, and a counter of how often its object was dropped.
    fn insert(&self, number: usize) -> (usize, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        let token: *mut u8 =
            self.0.insert(Object { number, drops: drops.clone() }).expect("there is room");
        (token as usize, drops)
    }

    fn get(&self, token: usize) -> Option<Arc<Object>> {
        self.0.get(token as *const u8).ok()
    }

    fn remove(&self, token: usize) -> bool {
        self.0.remove(token as *mut u8).is_ok()
    }

    fn spawn<T: 'static>(&self, body: impl FnOnce(&Self) -> T + 'static) -> JoinHandle<T> {
        let table = self.clone();
        thread::spawn(move || body(&table))
    }
}

fn dropped(drops: &AtomicUsize) -> usize {
    drops.load(Ordering::Relaxed)
}

#[test]
fn a_freed_handle_is_never_found_again() {
    loom::model(|| {
        let table = Shared::new();
        let (token, drops) = table.insert(1);
        let freed = Arc::new(AtomicBool::new(false));
        let frees = {
            let freed = freed.clone();
            table.spawn(move |table| {
                assert!(table.remove(token));
                assert!(table.get(token).is_none());
                freed.store(true, Ordering::Release);
            })
        };
        let uses = table.spawn(move |table| {
            let too_late = freed.load(Ordering::Acquire);
            let found = table.get(token);
            assert!(!(too_late && found.is_some()));
            // An object that was found stays valid, even if it is freed immediately afterwards.
            assert!(found.is_none_or(|object| object.number == 1 && dropped(&object.drops) == 0));
        });
        let (other, other_drops) = table.insert(2);
        assert_ne!(token, other);
        assert_eq!(table.get(other).expect("it is live").number, 2);
        frees.join().unwrap();
        uses.join().unwrap();
        assert!(table.get(token).is_none());
        assert_eq!((dropped(&drops), dropped(&other_drops)), (1, 0));
        drop(table);
        assert_eq!((dropped(&drops), dropped(&other_drops)), (1, 1));
    });
}

#[test]
fn concurrent_frees_of_a_handle_drop_its_object_once() {
    loom::model(|| {
        let table = Shared::new();
        let (token, drops) = table.insert(1);
        let threads = [(); 2].map(|()| table.spawn(move |table| usize::from(table.remove(token))));
        let held = table.get(token);
        let mine = usize::from(table.remove(token));
        // The new object takes the same place. Late attempts to free the former one must not free
        // it.
        let (other, other_drops) = table.insert(2);
        let freed = threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>() + mine;
        assert_eq!(freed, 1);
        assert_eq!(dropped(&drops), usize::from(held.is_none()));
        drop(held);
        assert_eq!(dropped(&drops), 1);
        assert!(table.get(other).is_some() && dropped(&other_drops) == 0);
    });
}

/// In this model, places have only three generations, so each thread sees some retired places.
#[test]
fn handles_are_unique_and_slots_are_retired() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let table = Shared::new();
        let work = |table: &Shared| {
            [0, 1, 2].map(|number| {
                let (token, drops) = table.insert(number);
                assert_eq!(table.get(token).expect("it is live").number, number);
                assert!(table.remove(token) && !table.remove(token));
                assert_eq!(dropped(&drops), 1);
                token
            })
        };
        let threads = [(); 2].map(|()| table.spawn(work));
        let mut tokens = Vec::from(work(&table));
        tokens.extend(threads.into_iter().flat_map(|thread| thread.join().unwrap()));
        assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), 9, "{tokens:x?}");
        assert!(tokens.iter().all(|token| table.get(*token).is_none()));
    });
}
