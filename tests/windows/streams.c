/* Makes the standard streams of a test program binary, because the tests exchange bytes with it and
 * Windows would convert line feeds to two bytes. Linked into every test program for Windows. */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>

__attribute__((constructor)) static void make_binary(void)
{
    _setmode(0, _O_BINARY);
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
}
