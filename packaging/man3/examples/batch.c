/* commbox_batch_new, commbox_batch_submit, commbox_batch_next, commbox_batch_close,
   commbox_batch_free */
#include <commbox.h>
#include <inttypes.h>
#include <stdio.h>

int main(void)
{
    static const int64_t users[] = {94382332, 94382333, 94382334};
    commbox_client *client = commbox_client_new(NULL, NULL);
    commbox_batch *batch = commbox_batch_new(client, "{\"concurrency\": 4}");
    if (batch == NULL) {
        fprintf(stderr, "%s\n", commbox_last_error());
        commbox_client_free(client);
        return 1;
    }

    /* These are fewer updates than `queue_limit`, so that submitting does not block. */
    for (uint64_t row = 0; row < sizeof users / sizeof users[0]; row++) {
        int32_t accepted =
            commbox_batch_submit(batch, row, users[row], "{\"FirstName\": \"John\"}", -1);
        if (accepted != COMMBOX_OK) {
            fprintf(stderr, "%s\n", commbox_last_error());
        }
    }
    commbox_batch_close(batch);

    uint64_t row;
    int32_t code;
    while (commbox_batch_next(batch, -1, &row, &code, NULL) == COMMBOX_OK) {
        printf("row %" PRIu64 ": %s\n", row, commbox_code_name(code));
    }
    commbox_batch_free(batch);
    commbox_client_free(client);
    return 0;
}
