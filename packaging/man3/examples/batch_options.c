/* commbox_batch_new_with, commbox_batch_submit_with */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    commbox_options *options = commbox_options_new();
    commbox_options_set(options, "concurrency", "4");
    commbox_options_set(options, "stop_on_unauthorized", "false");
    commbox_batch *batch = commbox_batch_new_with(client, options);
    commbox_options_free(options);

    int32_t code = commbox_batch_submit_with(batch, 1, 94382332, "{\"FirstName\": \"John\"}",
                                             "{\"max_retries\": 10}", 1000);
    if (code == COMMBOX_OK) {
        commbox_batch_next(batch, -1, NULL, &code, NULL);
    }
    printf("%s\n", commbox_code_name(code));
    commbox_batch_free(batch);
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
