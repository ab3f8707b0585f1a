/* commbox_client_diagnose_json */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    commbox_client *client = commbox_client_new(NULL, NULL);
    char *found = commbox_client_diagnose_json(client);
    if (found == NULL) {
        fprintf(stderr, "%s\n", commbox_last_error());
        commbox_client_free(client);
        return 1;
    }
    printf("%s\n", found);
    commbox_string_free(found);
    commbox_client_free(client);
    return 0;
}
