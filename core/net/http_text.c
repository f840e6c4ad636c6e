/* The parts of HTTP that do no I/O: URLs, header fields, and what a failure is called. */
#include "net/http.h"

#include "base/text.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool get_part(CURLU *u, CURLUPart part, char *out, size_t out_size, unsigned flags)
{
    char *text = NULL;
    if (curl_url_get(u, part, &text, flags) != CURLUE_OK)
        return false;
    bool fits = strlen(text) < out_size;
    if (fits)
        snprintf(out, out_size, "%s", text);
    curl_free(text);
    return fits;
}

static void lower(char *s)
{
    for (; *s; s++)
        *s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
}

bool cpuu_url_split(const char *url, cpuu_url *out)
{
    char scheme[16], port[8];
    CURLU *u = curl_url();
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
              get_part(u, CURLUPART_SCHEME, scheme, sizeof(scheme), 0) &&
              get_part(u, CURLUPART_HOST, out->host, sizeof(out->host), 0) &&
              get_part(u, CURLUPART_PORT, port, sizeof(port), CURLU_DEFAULT_PORT) &&
              get_part(u, CURLUPART_PATH, out->path, sizeof(out->path), 0) &&
              (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);
    curl_url_cleanup(u);
    if (!ok)
        return false;
    lower(out->host);
    out->port = (uint16_t)strtoul(port, NULL, 10);
    out->https = strcmp(scheme, "https") == 0;
    return true;
}

bool cpuu_http_worth_repeating(const cpuu_http_request *req)
{
    return req->curl_code == CURLE_COULDNT_CONNECT || req->curl_code == CURLE_SEND_ERROR ||
           req->curl_code == CURLE_RECV_ERROR || req->curl_code == CURLE_GOT_NOTHING;
}

/* One header line: its name matches? Then its value, trimmed. */
static bool header_value(const char *line, size_t n, const char *name, const char **value,
                         size_t *value_size)
{
    size_t len = strlen(name);
    if (n <= len || line[len] != ':' || cpuu_ncasecmp(line, name, len) != 0)
        return false;
    const char *p = line + len + 1, *end = line + n;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    *value = p;
    *value_size = (size_t)(end - p);
    return true;
}

const char *cpuu_http_find_header(const cpuu_http_request *req, const char *name, unsigned n,
                                  size_t *size)
{
    const char *p = (const char *)req->response_headers.data;
    size_t left = req->response_headers.size;
    while (left) {
        const char *eol = memchr(p, '\n', left), *value;
        size_t line = eol ? (size_t)(eol - p) : left;
        if (header_value(p, line, name, &value, size) && n-- == 0)
            return value;
        line += eol ? 1 : 0;
        p += line;
        left -= line;
    }
    return NULL;
}

bool cpuu_http_get_header(const cpuu_http_request *req, const char *name, unsigned n, char *out,
                          size_t out_size)
{
    size_t size;
    const char *value = cpuu_http_find_header(req, name, n, &size);
    if (!value || size >= out_size || memchr(value, 0, size))
        return false;
    memcpy(out, value, size);
    out[size] = 0;
    return true;
}

/* WinHTTP's number and words for what libcurl reports. The first three are quoted in the guide
 * (lines 870-882); the pairing of the others is ours. */
static const struct {
    CURLcode code;
    uint32_t winhttp;
    const char *words;
} failures[] = {
    {CURLE_COULDNT_RESOLVE_HOST, 0x2ee7, "The server name or address could not be resolved"},
    {CURLE_COULDNT_RESOLVE_PROXY, 0x2ee7, "The server name or address could not be resolved"},
    {CURLE_COULDNT_CONNECT, 0x2efd, "A connection with the server could not be established"},
    {CURLE_OPERATION_TIMEDOUT, 0x2ee2, "The operation timed out"},
    {CURLE_SEND_ERROR, 0x2efe, "The connection with the server was terminated abnormally"},
    {CURLE_RECV_ERROR, 0x2efe, "The connection with the server was terminated abnormally"},
    {CURLE_GOT_NOTHING, 0x2efe, "The connection with the server was terminated abnormally"},
    {CURLE_PARTIAL_FILE, 0x2efe, "The connection with the server was terminated abnormally"},
    {CURLE_PEER_FAILED_VERIFICATION, 0x2f8f, "A security error occurred"},
    {CURLE_SSL_CONNECT_ERROR, 0x2f8f, "A security error occurred"},
    {CURLE_SSL_CERTPROBLEM, 0x2f0c, "A certificate is required to complete client authentication"},
    {CURLE_WEIRD_SERVER_REPLY, 0x2f78, "The server returned an invalid or unrecognized response"},
    {CURLE_URL_MALFORMAT, 0x2ee5, "The URL is invalid"},
    {CURLE_UNSUPPORTED_PROTOCOL, 0x2ee6, "The URL does not use a recognized protocol"},
};

static void describe_status(uint32_t status, char *out, size_t out_size)
{
    if (status == 401)
        snprintf(out, out_size,
                 "Custom result: 0xc01000cf, Description: HTTP status code 401 (Unauthorized) "
                 "received. This response indicates that authorization has been refused for the "
                 "account used to access destination, or specified credentials are invalid.");
    else
        snprintf(out, out_size, "HTTP status code %u received.", status);
}

void cpuu_http_describe(const cpuu_http_request *req, char *out, size_t out_size)
{
    if (req->status) {
        describe_status(req->status, out, out_size);
        return;
    }
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        if (req->curl_code == (uint32_t)failures[i].code) {
            snprintf(out, out_size, "WinHTTP result: 0x%08x, Description: %s",
                     failures[i].winhttp, failures[i].words);
            return;
        }
    }
    if (req->curl_code)
        snprintf(out, out_size, "%s", curl_easy_strerror((CURLcode)req->curl_code));
    else
        snprintf(out, out_size, "%s", req->error.text);
}
