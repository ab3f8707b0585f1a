//! Order per user: who may be in flight for a user, and who stands behind.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::delivery::flow::Ticket;
use crate::delivery::line::{Line, State};
use crate::delivery::park::Parker;
use crate::delivery::watch::{Stop, Wake, Watch};
use crate::failpoint;
use crate::fork;

/// Is told when the turn of an update comes that stood behind its user.
pub(crate) trait Ready: Send + Sync {
    fn ready(&self, number: u64);
}

/// The calls of each user that has any.
#[derive(Default)]
pub(super) struct Turns {
    /// One of them, most often the only one: no memory is taken for it.
    one: Option<(i64, User)>,
    /// The others. Not a hash map: its memory, of a client that is never freed, is what valgrind takes for lost.
    others: BTreeMap<i64, User>,
}

struct User {
    /// The one that may be in flight.
    holder: u64,
    thread: usize,
    /// The others, in the order of their numbers.
    behind: VecDeque<(u64, Behind)>,
}

enum Behind {
    Call { parker: Arc<Parker>, thread: usize },
    Update(Weak<dyn Ready>),
}

/// A call's place: its number, by which it stands in the line, and its turn among the calls of its user,
/// which it leaves when it is dropped.
pub(crate) struct Place {
    line: Arc<Line>,
    /// Where it stands in the line; it may be moved to the end.
    number: u64,
    turn: Option<Turn>,
    /// Leave to send, if the call got it when it came.
    pub(super) ticket: Option<Ticket>,
    /// The process that it belongs to.
    generation: u32,
}

pub(super) struct Turn {
    user_id: i64,
    number: u64,
    /// Whether it is that of a direct call, on its own thread.
    is_call: bool,
    /// Whether nobody was before it.
    is_first: bool,
}

/// The next one of a user, whose turn has come.
pub(crate) enum Successor {
    Call(Arc<Parker>),
    Update(Arc<dyn Ready>, u64),
}

thread_local! {
    /// How many direct calls run on this thread; more than one where a callback makes a call.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

impl Line {
    /// Gives a direct call its place.
    pub(crate) fn enter(self: &Arc<Self>, user_id: i64, watch: &Watch) -> Place {
        let (thread, is_nested) = CALLS.with(|calls| {
            let before = calls.replace(calls.get() + 1);
            // Where it lies is a number of this thread's own.
            (std::ptr::from_ref(calls) as usize, before > 0)
        });
        let (mut number, mut free, mut ticket) = (0, true, None);
        // The call has just begun.
        self.locked_at(self.clock.moment(watch.began()), &mut |state, now| {
            failpoint::reach("pass");
            number = state.number();
            free = !self.ordered || state.turns.take(user_id, number, thread);
            if free {
                ticket = state.leave_at_once(number, now);
            }
        });
        let turn = Turn { user_id, number, is_call: true, is_first: free };
        let mut place = Place { line: self.clone(), number, turn: Some(turn), ticket, generation: fork::generation() };
        if !free {
            let parker = watch.parker().clone();
            let stands = self.held(|state| state.turns.stand_behind(user_id, number, parker, thread, is_nested));
            if !stands {
                // It was made by a callback of a call for the same user, which waits for it.
                place.turn = None;
                CALLS.set(CALLS.get() - 1);
            }
        } else if !self.ordered {
            place.turn = None;
            CALLS.set(CALLS.get() - 1);
        }
        place
    }

    /// Gives an update of a batch its place; false if it stands behind its user. `ready` is told when its
    /// turn comes.
    pub(crate) fn enter_update(self: &Arc<Self>, user_id: i64, ready: &Weak<dyn Ready>) -> (Place, bool) {
        let (number, free) = self.held(|state| {
            let number = state.number();
            let free = !self.ordered || state.turns.take(user_id, number, 0);
            if !free {
                state.turns.stand_behind_update(user_id, number, ready.clone());
            }
            (number, free)
        });
        let turn = self.ordered.then_some(Turn { user_id, number, is_call: false, is_first: free });
        (Place { line: self.clone(), number, turn, ticket: None, generation: fork::generation() }, free)
    }

    /// Waits until the calls for the same user that came before have returned.
    pub(crate) fn wait_for_turn(&self, place: &Place, watch: &Watch) -> Result<(), Stop> {
        let Some(turn) = place.turn.as_ref().filter(|turn| !turn.is_first) else {
            return Ok(());
        };
        loop {
            if self.held(|state| state.turns.has_come(turn)) {
                return Ok(());
            }
            let deadline = watch.deadline();
            if Instant::now() >= deadline {
                return Err(Stop::Late);
            }
            if watch.park(Some(deadline))? == Wake::InvokeCallback {
                watch.invoke_callback()?;
            }
        }
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

impl Turns {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.one.is_none() && self.others.is_empty()
    }

    fn get(&self, user_id: i64) -> Option<&User> {
        match &self.one {
            Some((its, user)) if *its == user_id => Some(user),
            _ => self.others.get(&user_id),
        }
    }

    fn get_mut(&mut self, user_id: i64) -> Option<&mut User> {
        match &mut self.one {
            Some((its, user)) if *its == user_id => Some(user),
            _ => self.others.get_mut(&user_id),
        }
    }

    fn remove(&mut self, user_id: i64) {
        match &self.one {
            Some((its, _)) if *its == user_id => self.one = None,
            _ => {
                self.others.remove(&user_id);
            }
        }
    }

    /// Takes the turn of a user that has no call; false if it has one.
    fn take(&mut self, user_id: i64, number: u64, thread: usize) -> bool {
        if self.get(user_id).is_some() {
            return false;
        }
        let user = User { holder: number, thread, behind: VecDeque::new() };
        if self.one.is_none() {
            self.one = Some((user_id, user));
        } else {
            self.others.insert(user_id, user);
        }
        true
    }

    /// Has a call stand behind its user, or take the turn that has become free meanwhile; false if it is
    /// nested in a call that it would wait for.
    fn stand_behind(&mut self, user_id: i64, number: u64, parker: Arc<Parker>, thread: usize, is_nested: bool) -> bool {
        let Some(user) = self.get_mut(user_id) else {
            return self.take(user_id, number, thread);
        };
        if is_nested && user.has(thread) {
            return false;
        }
        user.add(number, Behind::Call { parker, thread });
        true
    }

    fn stand_behind_update(&mut self, user_id: i64, number: u64, ready: Weak<dyn Ready>) {
        if let Some(user) = self.get_mut(user_id) {
            user.add(number, Behind::Update(ready));
        }
    }

    /// Whether a call may leave. One that a fork took along waits for nobody.
    fn has_come(&self, turn: &Turn) -> bool {
        self.get(turn.user_id).is_none_or(|user| user.place(turn.number).is_err())
    }

    /// Ends a turn, and begins the next one of the user.
    pub(super) fn leave(&mut self, turn: &Turn) -> Option<Successor> {
        let user = self.get_mut(turn.user_id)?;
        if user.holder != turn.number {
            if let Ok(place) = user.place(turn.number) {
                user.behind.remove(place);
            }
            return None;
        }
        while let Some((number, behind)) = user.behind.pop_front() {
            let (successor, thread) = match behind {
                Behind::Call { parker, thread } => (Some(Successor::Call(parker)), thread),
                // None if its batch is gone.
                Behind::Update(ready) => (ready.upgrade().map(|ready| Successor::Update(ready, number)), 0),
            };
            if let Some(successor) = successor {
                (user.holder, user.thread) = (number, thread);
                return Some(successor);
            }
        }
        self.remove(turn.user_id);
        None
    }
}

impl User {
    /// Where one that stands behind is, or would be.
    fn place(&self, number: u64) -> Result<usize, usize> {
        self.behind.binary_search_by_key(&number, |(number, _)| *number)
    }

    fn add(&mut self, number: u64, behind: Behind) {
        if let Err(place) = self.place(number) {
            self.behind.insert(place, (number, behind));
        }
    }

    /// Whether one of its calls runs on this thread.
    fn has(&self, thread: usize) -> bool {
        let mut behind = self.behind.iter().map(|(_, behind)| behind);
        self.thread == thread
            || behind.any(|behind| matches!(behind, Behind::Call { thread: its, .. } if *its == thread))
    }
}

impl Place {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Moves it to the end of the line. The turn of its user stays its own.
    pub(crate) fn move_to_end(&mut self) {
        self.number = self.line.held(State::number);
    }

    /// Leaves the turn of its user to the next.
    pub(crate) fn release(mut self) -> Option<Successor> {
        self.leave()
    }

    fn leave(&mut self) -> Option<Successor> {
        let turn = self.take_turn()?;
        self.line.held(|state| state.turns.leave(&turn))
    }

    /// The turn that it has in this process, which is to leave.
    pub(super) fn take_turn(&mut self) -> Option<Turn> {
        let turn = self.turn.take()?;
        if turn.is_call {
            CALLS.with(|calls| calls.set(calls.get().saturating_sub(1)));
        }
        (self.generation == fork::generation()).then_some(turn)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.line.give_back(ticket);
        }
        if let Some(successor) = self.leave() {
            successor.begin();
        }
    }
}

impl Successor {
    /// Tells it that its turn has come.
    pub(crate) fn begin(self) {
        match self {
            Self::Call(parker) => parker.unpark(),
            Self::Update(ready, number) => ready.ready(number),
        }
    }
}
