/* commbox_batch_stats_json */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    commbox_batch *batch = commbox_batch_new(client, NULL);
    commbox_batch_submit(batch, 1, 94382332, "{\"FirstName\": \"John\"}", -1);
    commbox_batch_close(batch);
    while (commbox_batch_next(batch, -1, NULL, NULL, NULL) == COMMBOX_OK) {
        char *progress = commbox_batch_stats_json(batch);
        if (progress != NULL) {
            printf("%s\n", progress);
        }
        commbox_string_free(progress);
    }
    commbox_batch_free(batch);
    commbox_client_free(client);
    return 0;
}
