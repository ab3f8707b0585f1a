/* commbox_version, commbox_abi_version */
#include <commbox.h>
#include <stdio.h>

int main(void)
{
    if (commbox_abi_version() != COMMBOX_ABI_VERSION) {
        fprintf(stderr, "commbox %s does not fit this program\n", commbox_version());
        return 1;
    }
    printf("commbox %s\n", commbox_version());
    return 0;
}
