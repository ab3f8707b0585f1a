//! Order per user: which call may be in flight for a user, and which calls wait behind it.

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

/// Is notified when the turn of a waiting update of a batch comes.
pub(crate) trait Ready: Send + Sync {
    fn ready(&self, number: u64);
}

/// The users that have calls, and their calls.
#[derive(Default)]
pub(super) struct Turns {
    /// One of the users. It is most often the only one, and needs no allocation.
    one: Option<(i64, User)>,
    /// The other users. This is not a hash map because valgrind reports the memory of a hash map as
    /// lost if the client is never freed.
    others: BTreeMap<i64, User>,
}

struct User {
    /// The number of the call that may be in flight.
    holder: u64,
    thread: usize,
    /// The waiting calls, in the order of their numbers.
    behind: VecDeque<(u64, Behind)>,
}

enum Behind {
    Call { parker: Arc<Parker>, thread: usize },
    Update(Weak<dyn Ready>),
}

/// The place of a call: its number, which determines its position in the line, and its turn among
/// the calls for its user. Dropping the place ends the turn.
pub(crate) struct Place {
    line: Arc<Line>,
    /// Its position in the line. The call can be moved to the end.
    number: u64,
    turn: Option<Turn>,
    /// The permission to send, if the call got it when it was made.
    pub(super) ticket: Option<Ticket>,
    /// The process to which the place belongs.
    generation: u32,
}

pub(super) struct Turn {
    user_id: i64,
    number: u64,
    /// Whether the turn belongs to a direct call, which has a thread of its own.
    is_call: bool,
    /// Whether the call was the first one for its user.
    is_first: bool,
}

/// The next call for a user, whose turn has come.
pub(crate) enum Successor {
    Call(Arc<Parker>),
    Update(Arc<dyn Ready>, u64),
}

thread_local! {
    /// How many direct calls run on this thread. There are several if a callback makes a call.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

impl Line {
    /// Gives a direct call its place.
    pub(crate) fn enter(self: &Arc<Self>, user_id: i64, watch: &Watch) -> Place {
        let (thread, is_nested) = CALLS.with(|calls| {
            let before = calls.replace(calls.get() + 1);
            // The address of the thread-local counter identifies the thread.
            (std::ptr::from_ref(calls) as usize, before > 0)
        });
        let (mut number, mut free, mut ticket) = (0, true, None);
        // The call has just begun, so its start time serves as the present time.
        self.locked_at(self.clock.moment(watch.began()), &mut |state, now| {
            failpoint::reach("pass");
            number = state.number();
            free = !self.ordered || state.turns.take(user_id, number, thread);
            if free {
                ticket = state.leave_at_once(number, now);
            }
        });
        let turn = Turn { user_id, number, is_call: true, is_first: free };
        let mut place = Place {
            line: self.clone(),
            number,
            turn: Some(turn),
            ticket,
            generation: fork::generation(),
        };
        if !free {
            let parker = watch.parker().clone();
            let stands = self
                .held(|state| state.turns.stand_behind(user_id, number, parker, thread, is_nested));
            if !stands {
                // A callback of a call for the same user made this call. That call waits for the
                // callback, so this one must not wait for it.
                place.turn = None;
                CALLS.set(CALLS.get() - 1);
            }
        } else if !self.ordered {
            place.turn = None;
            CALLS.set(CALLS.get() - 1);
        }
        place
    }

    /// Gives an update of a batch its place. Returns false if it must wait for its user; `ready` is
    /// then notified when its turn comes.
    pub(crate) fn enter_update(
        self: &Arc<Self>,
        user_id: i64,
        ready: &Weak<dyn Ready>,
    ) -> (Place, bool) {
        let (number, free) = self.held(|state| {
            let number = state.number();
            let free = !self.ordered || state.turns.take(user_id, number, 0);
            if !free {
                state.turns.stand_behind_update(user_id, number, ready.clone());
            }
            (number, free)
        });
        let turn = self.ordered.then_some(Turn { user_id, number, is_call: false, is_first: free });
        (
            Place {
                line: self.clone(),
                number,
                turn,
                ticket: None,
                generation: fork::generation(),
            },
            free,
        )
    }

    /// Blocks until the earlier calls for the same user have returned.
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

    /// Takes the turn of a user. Returns false if the user has a call already.
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

    /// Queues a call behind its user, or takes the turn if it has become free. Returns false if the
    /// call is nested in a call for which it would wait.
    fn stand_behind(
        &mut self,
        user_id: i64,
        number: u64,
        parker: Arc<Parker>,
        thread: usize,
        is_nested: bool,
    ) -> bool {
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

    /// Returns whether the turn of a call has come. A call that was copied by a fork does not wait.
    fn has_come(&self, turn: &Turn) -> bool {
        self.get(turn.user_id).is_none_or(|user| user.place(turn.number).is_err())
    }

    /// Ends a turn, and returns the next call for the user.
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
                // `None` if the batch no longer exists.
                Behind::Update(ready) => {
                    (ready.upgrade().map(|ready| Successor::Update(ready, number)), 0)
                }
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
    /// Returns the position of a waiting call, or the position at which to insert it.
    fn place(&self, number: u64) -> Result<usize, usize> {
        self.behind.binary_search_by_key(&number, |(number, _)| *number)
    }

    fn add(&mut self, number: u64, behind: Behind) {
        if let Err(place) = self.place(number) {
            self.behind.insert(place, (number, behind));
        }
    }

    /// Returns whether one of the user's calls runs on this thread.
    fn has(&self, thread: usize) -> bool {
        let mut behind = self.behind.iter().map(|(_, behind)| behind);
        self.thread == thread
            || behind
                .any(|behind| matches!(behind, Behind::Call { thread: its, .. } if *its == thread))
    }
}

impl Place {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Moves the call to the end of the line. It keeps its turn among the calls for its user.
    pub(crate) fn move_to_end(&mut self) {
        self.number = self.line.held(State::number);
    }

    /// Ends the turn and returns the next call.
    pub(crate) fn release(mut self) -> Option<Successor> {
        self.leave()
    }

    fn leave(&mut self) -> Option<Successor> {
        let turn = self.take_turn()?;
        self.line.held(|state| state.turns.leave(&turn))
    }

    /// Takes the turn in order to end it. Returns `None` if the turn belongs to another process.
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
    /// Notifies the call that its turn has come.
    pub(crate) fn begin(self) {
        match self {
            Self::Call(parker) => parker.unpark(),
            Self::Update(ready, number) => ready.ready(number),
        }
    }
}
