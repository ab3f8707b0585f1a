/* commbox_user_new, commbox_user_set, commbox_user_set_custom, commbox_user_to_json,
   commbox_user_free, commbox_string_free */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_user *user = commbox_user_new();
    commbox_user_set(user, "FirstName", "John");
    commbox_user_set(user, "Remarks", NULL);
    commbox_user_set_custom(user, "VIP_Status", "8");
    char *json = commbox_user_to_json(user);
    commbox_user_free(user);

    commbox_client *client = commbox_client_new(NULL, NULL);
    int32_t code = commbox_update_user_json(client, 94382332, json, NULL);
    if (code != COMMBOX_OK) {
        fprintf(stderr, "%s\n", commbox_last_error());
    }
    commbox_string_free(json);
    commbox_client_free(client);
    return code != COMMBOX_OK;
}
