/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for a TLS library in the ways in which programs do that can live without one, and prints what it found: nothing. */
#include <dlfcn.h>
#include <stdio.h>

extern int SSL_read(void *ssl, void *buffer, int n) __attribute__((weak));
extern int SSL_do_handshake(void *ssl) __attribute__((weak));
extern void SSL_free(void *ssl) __attribute__((weak));

int main(void)
{
    static const char *const names[] = {"SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_sendfile", "SSL_do_handshake",
                                        "SSL_accept", "SSL_connect", "SSL_free"};

    printf("%d%d%d", SSL_read != NULL, SSL_do_handshake != NULL, SSL_free != NULL);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        printf("%d%d", dlsym(RTLD_DEFAULT, names[i]) != NULL, dlsym(RTLD_NEXT, names[i]) != NULL);
    putchar('\n');
    return 0;
}
