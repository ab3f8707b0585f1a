/* An IVR that keeps what callers choose. Eight calls at a time, and a caller waits at most 300 ms.
 *
 *     cc -std=c11 -pthread ivr.c -lcommbox -o ivr
 *     COMMBOX_API_KEY=my-api-key ./ivr < choices.tsv
 *
 * A line of the input is a user id, a tab, and the choice. If a choice could not be stored, the
 * reason is reported, without values of the user. SIGTERM cancels the calls within 100 ms. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <commbox.h>

enum { CALLS = 8 };
static pthread_mutex_t input = PTHREAD_MUTEX_INITIALIZER;
static sigset_t signals;
static atomic_int stored, failed, busy, terminated;

static void store(commbox_client *client, long long user_id, const char *choice)
{
    commbox_user *user = commbox_user_new();
    commbox_user_set_custom(user, "Last_Choice", choice);
    char *json = commbox_user_to_json(user);
    /* For this call only: other calls may share the client with longer timeouts. */
    const char *options = "{\"total_timeout_ms\": 300, \"max_retries\": 1}";
    int32_t code = commbox_update_user_json_with(client, user_id, json, options, NULL);
    if (code == COMMBOX_OK) {
        stored++;
    } else {
        failed++;
        fprintf(stderr, "user %lld: %s after %d requests: %s%s\n", user_id, commbox_code_name(code),
                (int)commbox_last_attempts(), commbox_last_error(),
                commbox_code_is_transient(code) ? " (try again later)" : "");
    }
    commbox_string_free(json);
    commbox_user_free(user);
}

static void *answer(void *client)
{
    char choice[64];
    for (long long user_id = 0; !terminated;) {
        pthread_mutex_lock(&input);
        int fields = scanf("%lld\t%63[^\n]", &user_id, choice);
        busy += fields == 2;
        pthread_mutex_unlock(&input);
        if (fields != 2) break;
        store(client, user_id, choice);
        busy--;
    }
    return NULL;
}

static int report(void)
{
    printf("%d stored, %d failed\n", stored, failed);
    fflush(stdout);
    return failed == 0 && !terminated ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* On a thread of its own, where every function may be called; in a signal handler none may. */
static void *wait_for_signal(void *client)
{
    sigwait(&signals, &(int){0});
    terminated = 1;
    for (; busy > 0; nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL))
        commbox_client_cancel(client);
    _Exit(report()); /* the other threads wait for input */
}

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL); /* the key of COMMBOX_API_KEY */
    if (client == NULL) return fprintf(stderr, "%s\n", commbox_last_error()), EXIT_FAILURE;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    pthread_t waiting, calls[CALLS];
    pthread_create(&waiting, NULL, wait_for_signal, client);
    for (int i = 0; i < CALLS; i++) pthread_create(&calls[i], NULL, answer, client);
    for (int i = 0; i < CALLS; i++) pthread_join(calls[i], NULL);
    commbox_client_free(client);
    return report();
}
