/* commbox_update_user_json_with, commbox_last_attempts, commbox_last_elapsed_ms,
   commbox_last_request_id */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    int32_t code =
        commbox_update_user_json_with(client, 94382332, "{\"FirstName\": \"John\"}",
                                      "{\"total_timeout_ms\": 300, \"max_retries\": 1}", NULL);
    printf("%s after %d attempts and %lld ms, request id \"%s\"\n", commbox_code_name(code),
           (int)commbox_last_attempts(), (long long)commbox_last_elapsed_ms(),
           commbox_last_request_id());
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
