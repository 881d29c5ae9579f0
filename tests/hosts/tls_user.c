/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin that uses the TLS library that it is linked with, or, as a program, one that loads such plugins: tls_user PLUGIN... calls
 * all of them in turn, again after they were unloaded, and prints what came back. */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

#ifdef PLUGIN
void *SSL_new(void *context);
int SSL_read(void *ssl, void *buffer, int n);
int SSL_write(void *ssl, const void *buffer, int n);
int SSL_do_handshake(void *ssl);
void SSL_free(void *ssl);

int use(void);
int use(void)
{
    char buffer[4];
    void *ssl = SSL_new(NULL);
    int done = SSL_do_handshake(ssl), wrote = SSL_write(ssl, "x", 1);

    errno = 0;
    int got = SSL_read(ssl, buffer, 4), error = errno;
    SSL_free(ssl);
    SSL_free(NULL);
    return done == 1 && wrote == got && error == got && buffer[0] == got ? got : -1;
}
#else
int main(int argc, char **argv)
{
    for (int round = 0; round < 3; round++) {
        void *handles[16];
        for (int i = 1; i < argc && i < 16; i++) {
            handles[i] = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
            if (!handles[i]) {
                printf("%s\n", dlerror());
                return 1;
            }
            for (int k = 1; k <= i; k++)
                printf("%d ", ((int (*)(void))dlsym(handles[k], "use"))());
        }
        for (int i = 1; i < argc && i < 16; i++)
            dlclose(handles[i]);
    }
    putchar('\n');
    return 0;
}
#endif
