/* A CA and a server certificate made at start; they live as long as the lab. */
#include "tests/lab/http.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
} pair;

static int new_pair(pair *p, const char *name, uint8_t serial, bool ca)
{
    time_t now = time(NULL);
    int rc = gnutls_x509_privkey_init(&p->key);
    if (rc >= 0)
        rc = gnutls_x509_privkey_generate(p->key, GNUTLS_PK_ECDSA,
                                          GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_init(&p->crt);
    if (rc < 0)
        return rc;
    gnutls_x509_crt_set_version(p->crt, 3);
    gnutls_x509_crt_set_serial(p->crt, &serial, 1);
    gnutls_x509_crt_set_activation_time(p->crt, now - 86400);
    gnutls_x509_crt_set_expiration_time(p->crt, now + 30 * 86400);
    gnutls_x509_crt_set_dn_by_oid(p->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                  (unsigned)strlen(name));
    gnutls_x509_crt_set_basic_constraints(p->crt, ca, -1);
    unsigned usage =
        ca ? GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE;
    gnutls_x509_crt_set_key_usage(p->crt, usage);
    return gnutls_x509_crt_set_key(p->crt, p->key);
}

static int add_names(gnutls_x509_crt_t crt, const char *const *names, size_t n)
{
    static const uint8_t loopback[4] = {127, 0, 0, 1};
    int rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, loopback, 4,
                                                  GNUTLS_FSAN_SET);
    for (size_t i = 0; i < n && rc >= 0; i++)
        rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, names[i],
                                                  (unsigned)strlen(names[i]), GNUTLS_FSAN_APPEND);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    return rc;
}

static char *take_pem(gnutls_datum_t *d)
{
    char *text = lab_calloc(1, d->size + 1u);
    memcpy(text, d->data, d->size);
    gnutls_free(d->data);
    return text;
}

static int export_pem(pair *ca, pair *server, char **ca_pem, char **cert_pem, char **key_pem)
{
    gnutls_datum_t a = {NULL, 0}, c = {NULL, 0}, k = {NULL, 0};
    int rc = gnutls_x509_crt_export2(ca->crt, GNUTLS_X509_FMT_PEM, &a);
    if (rc >= 0)
        rc = gnutls_x509_crt_export2(server->crt, GNUTLS_X509_FMT_PEM, &c);
    if (rc >= 0)
        rc = gnutls_x509_privkey_export2(server->key, GNUTLS_X509_FMT_PEM, &k);
    if (rc < 0) {
        gnutls_free(a.data);
        gnutls_free(c.data);
        return rc;
    }
    *ca_pem = take_pem(&a);
    *cert_pem = take_pem(&c);
    *key_pem = take_pem(&k);
    return 0;
}

static void free_pair(pair *p)
{
    if (p->crt)
        gnutls_x509_crt_deinit(p->crt);
    if (p->key)
        gnutls_x509_privkey_deinit(p->key);
}

bool lab_make_certificates(const char *const *names, size_t n, char **ca_pem, char **cert_pem,
                           char **key_pem, char *err, size_t err_size)
{
    pair ca = {NULL, NULL}, server = {NULL, NULL};
    int rc = new_pair(&ca, "cpuu-lab CA", 1, true);
    if (rc >= 0)
        rc = gnutls_x509_crt_sign2(ca.crt, ca.crt, ca.key, GNUTLS_DIG_SHA256, 0);
    if (rc >= 0)
        rc = new_pair(&server, n ? names[0] : "localhost", 2, false);
    if (rc >= 0)
        rc = add_names(server.crt, names, n);
    if (rc >= 0)
        rc = gnutls_x509_crt_sign2(server.crt, ca.crt, ca.key, GNUTLS_DIG_SHA256, 0);
    if (rc >= 0)
        rc = export_pem(&ca, &server, ca_pem, cert_pem, key_pem);
    free_pair(&ca);
    free_pair(&server);
    if (rc < 0)
        snprintf(err, err_size, "cannot make the certificates: %s", gnutls_strerror(rc));
    return rc >= 0;
}
