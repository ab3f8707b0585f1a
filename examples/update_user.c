/* Updates one user, as the vendor's documentation shows it.  cc update_user.c -lcommbox */
#include <commbox.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    const char *user =
        "{\"data\":{\"UniqueId\":\"0123456789\",\"FirstName\":\"John\",\"LastName\":\"Doe\","
        "\"Phone1\":\"19175555555\",\"Email\":\"JohnDoe@gmail.com\","
        "\"Remarks\":\"Some remarks about the customer\","
        "\"Content\":{\"Birth_Date\":\"01-01-1983\",\"VIP_Status\":\"8\"}}}";
    const char *base_url = getenv("COMMBOX_BASE_URL");
    const char *api_key = getenv("COMMBOX_API_KEY");
    char options[512] = "";
    if (base_url != NULL) {
        snprintf(options, sizeof options, "{\"base_url\": \"%s\"}", base_url);
    }

    commbox_client *client = commbox_client_new(api_key, options);
    /* NULL: the server's reply may repeat personal data, and is not needed here. */
    int32_t code = commbox_update_user_json(client, 94382332, user, NULL);
    if (code == COMMBOX_OK) {
        printf("user %d is updated\n", 94382332);
    } else {
        fprintf(stderr, "commbox %d: %s\n", (int)code, commbox_last_error());
    }
    commbox_client_free(client);
    return code == COMMBOX_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
