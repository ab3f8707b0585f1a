/* commbox_client_stats_json */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    char *stats = commbox_client_stats_json(client);
    if (stats != NULL) {
        printf("%s\n", stats);
    }
    commbox_string_free(stats);
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
