/* commbox_batch_cancel, commbox_batch_cancel_tag */
#include <commbox.h>
#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    commbox_batch *batch = commbox_batch_new(client, NULL);
    for (uint64_t row = 0; row < 100; row++) {
        commbox_batch_submit(batch, row, 94382332, "{\"FirstName\": \"John\"}", -1);
    }
    commbox_batch_cancel_tag(batch, 99); /* this row */
    commbox_batch_cancel(batch);         /* every row that is not in flight */

    uint64_t row;
    int32_t code;
    while (commbox_batch_next(batch, -1, &row, &code, NULL) == COMMBOX_OK) {
        if (code == COMMBOX_CANCELLED) {
            printf("row %" PRIu64 " is cancelled\n", row);
        }
    }
    commbox_batch_free(batch);
    commbox_client_free(client);
    return 0;
}
