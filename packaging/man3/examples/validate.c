/* commbox_client_validate_user_json */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    const char *user = "{\"firstname\": \"John\", \"Email\": 7}";
    int32_t code = commbox_client_validate_user_json(client, 94382332, user);
    if (code == COMMBOX_INVALID_USER) {
        /* Prints both problems, one after the other. */
        printf("%s\n", commbox_last_error());
    }
    commbox_client_free(client);
    return 0;
}
