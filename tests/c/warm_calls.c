/* Does one thing as often as it is told to, for what one more costs to be counted:
 *
 *     warm_calls update NUMBER BASE_URL   updates a user on one client, with the example of the vendor's documentation
 *     warm_calls share NUMBER BASE_URL    the same from eight threads, which share the client, with a user each
 *     warm_calls batch NUMBER BASE_URL    the same through a batch of 64 workers, with a user each and 64 at a time
 *     warm_calls set NUMBER               crosses the boundary to set a field to a text as long as that example
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commbox.h"

static const char user[] = "{\"data\":{\"UniqueId\":\"0123456789\",\"FirstName\":\"John\",\"LastName\":\"Doe\","
                           "\"Phone1\":\"19175555555\",\"Email\":\"JohnDoe@gmail.com\","
                           "\"Remarks\":\"Some remarks about the customer\","
                           "\"Content\":{\"Birth_Date\":\"01-01-1983\",\"VIP_Status\":\"8\"}}}";

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, commbox_last_error());
    return EXIT_FAILURE;
}

struct work {
    pthread_t thread;
    commbox_client *client;
    long number;
    long user_id;
    int status;
};

static void *update(void *argument)
{
    struct work *work = argument;
    for (long call = 0; call < work->number; call++) {
        char *reply = NULL;
        if (commbox_update_user_json(work->client, work->user_id, user, &reply) != COMMBOX_OK) {
            work->status = fail("update");
        }
        commbox_string_free(reply);
    }
    return NULL;
}

static int update_all(long number, const char *base_url, int threads)
{
    char options[256];
    snprintf(options, sizeof options, "{\"base_url\": \"%s\", \"proxy\": \"\", \"max_retries\": 0}", base_url);
    struct work work[8] = {0};
    commbox_client *client = commbox_client_new("sandbox-key", options);
    for (int i = 0; i < threads; i++) {
        work[i].client = client;
        work[i].number = number / threads;
        work[i].user_id = 94382332 + i;
    }
    /* This thread is one of them. */
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&work[i].thread, NULL, update, &work[i]) != 0) {
            return fail("pthread_create");
        }
    }
    update(&work[0]);
    int status = work[0].status;
    for (int i = 1; i < threads; i++) {
        pthread_join(work[i].thread, NULL);
        status |= work[i].status;
    }
    commbox_client_free(client);
    return status;
}

static int update_by_batch(long number, const char *base_url)
{
    char options[256];
    snprintf(options, sizeof options, "{\"base_url\": \"%s\", \"proxy\": \"\", \"max_retries\": 0}", base_url);
    commbox_client *client = commbox_client_new("sandbox-key", options);
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 64}");
    for (long submitted = 0, finished = 0; finished < number; finished++) {
        while (submitted < number && submitted - finished < 64) {
            if (commbox_batch_submit(batch, 0, 94382332 + submitted % 64, user, -1) != COMMBOX_OK) {
                return fail("submit");
            }
            submitted++;
        }
        uint64_t tag;
        int32_t code;
        char *reply = NULL;
        if (commbox_batch_next(batch, -1, &tag, &code, &reply) != COMMBOX_OK || code != COMMBOX_OK) {
            return fail("next");
        }
        commbox_string_free(reply);
    }
    commbox_batch_free(batch);
    commbox_client_free(client);
    return EXIT_SUCCESS;
}

static int set(long number)
{
    commbox_user *builder = commbox_user_new();
    for (long call = 0; call < number; call++) {
        if (commbox_user_set(builder, "Remarks", user) != COMMBOX_OK) {
            return fail("set");
        }
    }
    commbox_user_free(builder);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "update") == 0) {
        return update_all(atol(argv[2]), argv[3], 1);
    }
    if (argc == 4 && strcmp(argv[1], "share") == 0) {
        return update_all(atol(argv[2]), argv[3], 8);
    }
    if (argc == 4 && strcmp(argv[1], "batch") == 0) {
        return update_by_batch(atol(argv[2]), argv[3]);
    }
    if (argc == 3 && strcmp(argv[1], "set") == 0) {
        return set(atol(argv[2]));
    }
    fprintf(stderr, "usage: warm_calls update|share|batch NUMBER BASE_URL | set NUMBER\n");
    return 2;
}
