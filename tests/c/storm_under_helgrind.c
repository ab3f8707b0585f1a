/* The storm for helgrind. Helgrind supports only the locks of pthread. Rust's locks consist of
 * atomics and futexes, so helgrind would report everything that they guard as unguarded. This
 * program wraps the functions of the library's debug build that acquire and release locks, and
 * tells helgrind about them. It does the same for dropping the last reference to a shared object,
 * which happens after all other uses. Nothing else is hidden from helgrind, except for atomics: see
 * tests/valgrind/helgrind.supp. */

#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <valgrind/helgrind.h>

#define ATOMIC_MEMORY(address, size) VALGRIND_HG_DISABLE_CHECKING(address, size)
#include "storm_of_handles.c"

/* In valgrind's encoding: Zu is _, ZZ is Z, ZD is $, Zd is a dot, and Za matches any text. */
#define LIBRARY libcommboxZdsoZa
#define MUTEX_LOCK ZuZZN3std4sync6poison5mutex14MutexZDLTZDTZDGTZD4lock17hZa
#define RWLOCK_READ ZuZZN3std4sync6poison6rwlock15RwLockZDLTZDTZDGTZD4read17hZa
#define RWLOCK_WRITE ZuZZN3std4sync6poison6rwlock15RwLockZDLTZDTZDGTZD5writeZa
#define CONDVAR_WAIT ZuZZN3std4sync6poison7condvar7Condvar4wait17hZa
#define CONDVAR_WAIT_TIMEOUT ZuZZN3std4sync6poison7condvar7Condvar12waitZutimeout17hZa
#define DROP_OF(type)                                                                              \
    ZaZdZd##type##ZDLTZDTZDGTZDZDu20ZDasZDu20ZDcoreZdZdopsZdZddropZdZdDropZDGTZD4drop17hZa
#define ARC_DROP                                                                                   \
    ZaZdZdArcZDLTZDTZDCZDAZDGTZDZDu20ZDasZDu20ZDcoreZdZdopsZdZddropZdZdDropZDGTZD4drop17hZa
#define ARC_DROP_SLOW ZuZZN5alloc4sync16ArcZDLTZDTZDCZDAZDGTZD9dropZuslow17hZa
#define EXPAND(library, function) I_WRAP_SONAME_FNNAME_ZZ(library, function)
#define WRAP(function) EXPAND(LIBRARY, function)

/* The result of acquiring a lock: whether it is poisoned, and then the guard, whose words depend on
 * the type of the lock. */
struct result {
    uintptr_t poisoned;
    uintptr_t guard[2];
};

/* The locks that this thread has acquired for reading: their guards do not contain the lock. */
static _Thread_local struct {
    uintptr_t guard[2];
    void *lock;
} reading[8];

static void broken(const char *what)
{
    printf("this test does not know Rust's locks any more: %s\n", what);
    fflush(stdout);
    _exit(EXIT_FAILURE);
}

static void check_guard(const struct result *result, const void *lock)
{
    if (result->poisoned > 1 || result->guard[0] != (uintptr_t)lock) {
        broken("a guard does not begin with its lock");
    }
}

uintptr_t WRAP(MUTEX_LOCK)(struct result *result, void *lock)
{
    OrigFn lock_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(lock_it);
    CALL_FN_W_WW(returned, lock_it, result, lock);
    check_guard(result, lock);
    ANNOTATE_RWLOCK_ACQUIRED(lock, 1);
    return returned;
}

uintptr_t WRAP(RWLOCK_WRITE)(struct result *result, void *lock)
{
    OrigFn lock_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(lock_it);
    CALL_FN_W_WW(returned, lock_it, result, lock);
    check_guard(result, lock);
    ANNOTATE_RWLOCK_ACQUIRED(lock, 1);
    return returned;
}

uintptr_t WRAP(RWLOCK_READ)(struct result *result, void *lock)
{
    OrigFn lock_it;
    uintptr_t returned;
    size_t at = 0;
    VALGRIND_GET_ORIG_FN(lock_it);
    CALL_FN_W_WW(returned, lock_it, result, lock);
    while (at < 8 && reading[at].lock != NULL) {
        at++;
    }
    if (at == 8) {
        broken("a thread reads under many locks");
    }
    memcpy(reading[at].guard, result->guard, sizeof result->guard);
    reading[at].lock = lock;
    ANNOTATE_RWLOCK_ACQUIRED(lock, 0);
    /* Helgrind orders a reader's reads after the last writer, but not its writes. A lock orders
     * both. */
    ANNOTATE_HAPPENS_AFTER(lock);
    return returned;
}

/* The thread does not hold the lock while it waits. A guard is passed as its two words, and so is a
 * time. */
uintptr_t WRAP(CONDVAR_WAIT)(struct result *result, void *condvar, void *lock, uintptr_t poison)
{
    OrigFn wait_for_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(wait_for_it);
    ANNOTATE_RWLOCK_RELEASED(lock, 1);
    CALL_FN_W_WWWW(returned, wait_for_it, result, condvar, lock, poison);
    check_guard(result, lock);
    ANNOTATE_RWLOCK_ACQUIRED(lock, 1);
    return returned;
}

uintptr_t WRAP(CONDVAR_WAIT_TIMEOUT)(void *result, void *condvar, void *lock, uintptr_t poison,
                                     uintptr_t seconds, uintptr_t nanoseconds)
{
    OrigFn wait_for_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(wait_for_it);
    ANNOTATE_RWLOCK_RELEASED(lock, 1);
    CALL_FN_W_6W(returned, wait_for_it, result, condvar, lock, poison, seconds, nanoseconds);
    ANNOTATE_RWLOCK_ACQUIRED(lock, 1);
    return returned;
}

uintptr_t WRAP(DROP_OF(MutexGuard))(void **guard)
{
    OrigFn unlock_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(unlock_it);
    ANNOTATE_RWLOCK_RELEASED(*guard, 1);
    CALL_FN_W_W(returned, unlock_it, guard);
    return returned;
}

uintptr_t WRAP(DROP_OF(RwLockWriteGuard))(void **guard)
{
    OrigFn unlock_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(unlock_it);
    ANNOTATE_HAPPENS_BEFORE(*guard);
    ANNOTATE_RWLOCK_RELEASED(*guard, 1);
    CALL_FN_W_W(returned, unlock_it, guard);
    return returned;
}

uintptr_t WRAP(DROP_OF(RwLockReadGuard))(uintptr_t *guard)
{
    OrigFn unlock_it;
    uintptr_t returned;
    size_t at = 0;
    VALGRIND_GET_ORIG_FN(unlock_it);
    while (at < 8
           && (reading[at].lock == NULL
               || memcmp(reading[at].guard, guard, sizeof reading[at].guard) != 0)) {
        at++;
    }
    if (at == 8) {
        broken("a guard is dropped that was not made");
    }
    ANNOTATE_RWLOCK_RELEASED(reading[at].lock, 0);
    reading[at].lock = NULL;
    CALL_FN_W_W(returned, unlock_it, guard);
    return returned;
}

uintptr_t WRAP(ARC_DROP)(void **arc)
{
    OrigFn drop_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(drop_it);
    ANNOTATE_HAPPENS_BEFORE(*arc);
    CALL_FN_W_W(returned, drop_it, arc);
    return returned;
}

uintptr_t WRAP(ARC_DROP_SLOW)(void **arc)
{
    OrigFn drop_it;
    uintptr_t returned;
    VALGRIND_GET_ORIG_FN(drop_it);
    ANNOTATE_HAPPENS_AFTER(*arc);
    ANNOTATE_HAPPENS_BEFORE_FORGET_ALL(*arc);
    CALL_FN_W_W(returned, drop_it, arc);
    return returned;
}
