/* Does not free the handles that it creates. No leak checker reports this, because handles remain
 * reachable from the library. Builds for tests count live handles. tests/growth.rs runs it. */

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "commbox.h"

/* No header declares this function, because no release contains it. */
size_t commbox_live_handles(void);

int main(void)
{
    size_t none = commbox_live_handles();
    commbox_client *client = commbox_client_new("key", NULL);
    commbox_client *forgotten_client = commbox_client_new("key", NULL);
    commbox_user *forgotten_user = commbox_user_new();
    commbox_batch *forgotten_batch = commbox_batch_new(client, NULL);
    size_t all = commbox_live_handles();
    commbox_client_free(client);
    commbox_client_free(client);
    printf("%zu %zu %zu", none, all, commbox_live_handles());
    return forgotten_client != NULL && forgotten_user != NULL && forgotten_batch != NULL
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}
