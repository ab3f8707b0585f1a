/* Makes one call, for tests of what a process reads only once. Prints its code, and the reply or
 * the error's JSON. */

#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "commbox.h"

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s API_KEY OPTIONS_JSON USER_ID USER_JSON\n", argv[0]);
        return 2;
    }
    char *reply = NULL;
    commbox_client *client = commbox_client_new(argv[1], argv[2]);
    int32_t code = client == NULL ? commbox_last_error_code()
                                  : commbox_update_user_json(client, strtoll(argv[3], NULL, 10),
                                                             argv[4], &reply);
    printf("%" PRId32 "\n%s\n", code, reply == NULL ? commbox_last_error_json() : reply);
    commbox_string_free(reply);
    commbox_client_free(client);
    return 0;
}
