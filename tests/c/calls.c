/* Makes as many calls as it is told to, one after the other, on one client: calls BASE_URL NUMBER. */
#include <stdio.h>
#include <stdlib.h>

#include "commbox.h"

/* The example of the vendor's documentation. */
static const char user[] = "{\"data\":{\"UniqueId\":\"0123456789\",\"FirstName\":\"John\",\"LastName\":\"Doe\","
                           "\"Phone1\":\"19175555555\",\"Email\":\"JohnDoe@gmail.com\","
                           "\"Remarks\":\"Some remarks about the customer\","
                           "\"Content\":{\"Birth_Date\":\"01-01-1983\",\"VIP_Status\":\"8\"}}}";

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: calls BASE_URL NUMBER\n");
        return 2;
    }
    char options[256];
    snprintf(options, sizeof options, "{\"base_url\": \"%s\", \"proxy\": \"\", \"max_retries\": 0}", argv[1]);
    commbox_client *client = commbox_client_new("key-1", options);
    for (long call = 0; call < atol(argv[2]); call++) {
        char *reply = NULL;
        if (commbox_update_user_json(client, 94382332, user, &reply) != COMMBOX_OK) {
            fprintf(stderr, "call %ld: %s\n", call, commbox_last_error());
            return 1;
        }
        commbox_string_free(reply);
    }
    commbox_client_free(client);
    return 0;
}
