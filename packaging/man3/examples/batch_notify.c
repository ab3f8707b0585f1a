/* commbox_batch_notify_fd */
#include <commbox.h>
#include <poll.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    commbox_batch *batch = commbox_batch_new(client, NULL);
    commbox_batch_submit(batch, 1, 94382332, "{\"FirstName\": \"John\"}", 0);
    commbox_batch_close(batch);

    struct pollfd watched = {.fd = (int)commbox_batch_notify_fd(batch), .events = POLLIN};
    int32_t next = watched.fd < 0 ? commbox_last_error_code() : COMMBOX_TIMEOUT;
    while (next == COMMBOX_TIMEOUT && poll(&watched, 1, -1) > 0) {
        int32_t code;
        while ((next = commbox_batch_next(batch, 0, NULL, &code, NULL)) == COMMBOX_OK) {
            printf("%s\n", commbox_code_name(code));
        }
    }
    commbox_batch_free(batch);
    commbox_client_free(client);
    return next != COMMBOX_DONE;
}
