/* commbox_client_new_with, commbox_options_new, commbox_options_set, commbox_options_free */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_options *options = commbox_options_new();
    if (commbox_options_set(options, "total_timeout_ms", "10000") != COMMBOX_OK
        || commbox_options_set(options, "headers.X-Gateway-Key", "my-gateway-key") != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
    }
    commbox_client *client = commbox_client_new_with(NULL, options);
    commbox_options_free(options);

    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    if (code != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
    }
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
