/* SPDX-License-Identifier: Apache-2.0 */
/* What passes for an OpenSSL library in tests/t/tls.t: a session reads and writes the number ANSWER. Its first words are as in the real
 * one: the second is the address of the library's own table of methods. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char methods[] = "methods";

struct session {
    long version;
    const void *method;
    void *rbio;
    int freed;
};

void *SSL_new(void *context)
{
    struct session *s = calloc(1, sizeof *s);

    (void)context;
    s->version = 0x304;
    s->method = methods;
    return s;
}

int SSL_read(void *ssl, void *buffer, int n)
{
    memset(buffer, ANSWER, (size_t)n);
    errno = ANSWER;
    return ((struct session *)ssl)->method == methods ? ANSWER : -2;
}

int SSL_write(void *ssl, const void *buffer, int n)
{
    (void)buffer, (void)n;
    return ((struct session *)ssl)->method == methods ? ANSWER : -2;
}

int SSL_do_handshake(void *ssl) { return ((struct session *)ssl)->method == methods; }
void SSL_free(void *ssl) { free(ssl); }
void *SSL_get_rbio(const void *ssl) { return ((const struct session *)ssl)->rbio; }
int SSL_get_rfd(const void *ssl) { return (void)ssl, -1; }
int SSL_is_init_finished(const void *ssl) { return (void)ssl, 1; }
int SSL_is_server(const void *ssl) { return (void)ssl, 0; }
int SSL_session_reused(const void *ssl) { return (void)ssl, 0; }
int SSL_version(const void *ssl) { return (void)ssl, 0x304; }
int BIO_method_type(const void *bio) { return (void)bio, 0; }
size_t BIO_ctrl_pending(void *bio) { return (void)bio, 0; }
