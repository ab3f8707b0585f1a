/* commbox_last_error_code, commbox_last_error_json, commbox_last_http_status,
   commbox_last_delivery, commbox_last_retry_after_ms, commbox_code_name,
   commbox_code_is_transient */
#include <commbox.h>
#include <stdio.h>

/* Reports this thread's last failure, and returns whether to try again later. */
static int report(void)
{
    int32_t code = commbox_last_error_code();
    fprintf(stderr, "%s (HTTP status %d)\n", commbox_code_name(code),
            (int)commbox_last_http_status());
    fprintf(stderr, "%s\n", commbox_last_error_json());
    if (commbox_last_delivery() == COMMBOX_DELIVERY_UNKNOWN) {
        fprintf(stderr, "the server may have processed the update\n");
    }
    if (commbox_last_retry_after_ms() >= 0) {
        fprintf(stderr, "wait for %lld ms\n", (long long)commbox_last_retry_after_ms());
    }
    return commbox_code_is_transient(code);
}

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    int32_t code = commbox_update_user_json(client, 94382332, "{\"FirstName\": \"John\"}", NULL);
    int again = code != COMMBOX_OK && report();
    commbox_client_free(client);
    return again;
}
