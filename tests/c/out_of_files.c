/* Makes a call while the process can open only a few more files, and another one after that. Prints
 * the code of each, and the reply or the error's JSON. */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commbox.h"

static void call(commbox_client *client)
{
    char *reply = NULL;
    int32_t code = commbox_update_user_json(client, 1, "{\"FirstName\": \"John\"}", &reply);
    printf("%" PRId32 "\n%s\n", code, reply == NULL ? commbox_last_error_json() : reply);
    commbox_string_free(reply);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s OPTIONS_JSON FILES\n", argv[0]);
        return 2;
    }
    commbox_client *client = commbox_client_new("secret-key", argv[1]);
    struct rlimit before;
    int free_from = dup(STDIN_FILENO);
    if (client == NULL || free_from < 0 || close(free_from) != 0
        || getrlimit(RLIMIT_NOFILE, &before) != 0) {
        fprintf(stderr, "%s\n", commbox_last_error());
        return 1;
    }
    struct rlimit few = {(rlim_t)free_from + (rlim_t)strtoul(argv[2], NULL, 10), before.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0) return 1;
    call(client);
    if (setrlimit(RLIMIT_NOFILE, &before) != 0) return 1;
    call(client);
    commbox_client_free(client);
    return 0;
}
