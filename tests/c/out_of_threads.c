/* A DNS lookup and a batch in a process that cannot start more threads. The argument contains the
 * options of a client whose host is a name. tests/out_of_threads.rs runs it. */

#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s OPTIONS_JSON\n", argv[0]);
        return 2;
    }
    commbox_client *client = commbox_client_new("sandbox-key", argv[1]);
    commbox_batch *batch = commbox_batch_new(client, NULL);
    struct rlimit one = {1, 1};
    /* The limit does not apply to root. */
    if (setrlimit(RLIMIT_NPROC, &one) != 0
        || (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0))
        return 2;
    CHECK(commbox_update_user_json(client, 1, "{\"FirstName\": \"John\"}", NULL)
          == COMMBOX_CONNECTION);
    CHECK(strstr(commbox_last_error(), "could not start a thread for the DNS lookup") != NULL);
    CHECK(strstr(commbox_last_error_json(), "\"delivery\":\"not_sent\"") != NULL);
    CHECK(commbox_batch_submit(batch, 1, 1, "{\"FirstName\": \"John\"}", -1) == COMMBOX_INTERNAL);
    CHECK(strstr(commbox_last_error(), "could not start a worker thread") != NULL);
    commbox_batch_free(batch);
    commbox_client_free(client);
    return failures > 0;
}
