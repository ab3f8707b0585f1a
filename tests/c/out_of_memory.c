/* An update that is larger than the available memory, as a call and in a batch. After that, the
 * process still has the remaining memory. tests/out_of_memory.rs runs it. */

#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"

enum { LARGE = 60000000, LEFT = 20000000 };

/* Returns the current size of the process's address space. */
static rlim_t size(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    if (file != NULL) fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static int is_told(int32_t code)
{
    return code == COMMBOX_INVALID_USER
           && strcmp(commbox_last_error(), "user_json is too large for the available memory") == 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s OPTIONS_JSON\n", argv[0]);
        return 2;
    }
    commbox_client *client = commbox_client_new("sandbox-key", argv[1]);
    commbox_batch *batch = commbox_batch_new(client, NULL);
    CHECK(commbox_update_user_json(client, 1, "{\"Remarks\": \"x\"}", NULL) == COMMBOX_OK);
    char *large = malloc(LARGE + 1);
    if (large == NULL) return 2;
    memset(large, 'x', LARGE);
    memcpy(large, "{\"Remarks\":\"", 12);
    memcpy(large + LARGE - 2, "\"}", 3);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = size() + LEFT;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(is_told(commbox_update_user_json(client, 1, large, NULL)));
    CHECK(is_told(commbox_batch_submit(batch, 1, 1, large, -1)));
    CHECK(commbox_update_user_json(client, 1, "{\"Remarks\": \"x\"}", NULL) == COMMBOX_OK);
    free(large);
    commbox_batch_free(batch);
    commbox_client_free(client);
    return failures > 0;
}
