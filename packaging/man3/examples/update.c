/* commbox_client_new, commbox_client_free, commbox_update_user_json, commbox_last_error */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    /* The API key is in the environment variable COMMBOX_API_KEY. */
    commbox_client *client = commbox_client_new(NULL, "{\"total_timeout_ms\": 10000}");
    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    if (code != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
    }
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
