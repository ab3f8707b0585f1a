/* Makes a call with a client, replaces a file with another one, and makes a call with a new client.
 *
 * Usage: two_clients OPTIONS_JSON FROM TO. Prints the codes of both calls. */

#include <stdio.h>

#include "commbox.h"

static int32_t call(const char *options)
{
    commbox_client *client = commbox_client_new("key", options);
    int32_t code = commbox_update_user_json(client, 1, "{}", NULL);
    commbox_client_free(client);
    return code;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    int32_t before = call(argv[1]);
    if (rename(argv[2], argv[3]) != 0) {
        perror("rename");
        return 1;
    }
    printf("%d %d\n", before, call(argv[1]));
    return 0;
}
