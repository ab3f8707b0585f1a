/* commbox_client_set_log */
#include <commbox.h>
#include <stdio.h>

static void print(void *context, int32_t level, const char *event_json, const char *sentence)
{
    (void)event_json;
    fprintf(context, "%d: %s\n", (int)level, sentence);
}

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    commbox_client_set_log(client, 4, print, stderr);
    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
