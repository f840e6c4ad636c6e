/*
 * What another client does to a navigation shortcut between an update and its undo: gives it another
 * name, or deletes it.
 *
 * usage: cpuu-second-client CA-FILE EMSMDB-URL DN SMTP PASSWORD SHORTCUT [NEW-NAME]
 * SHORTCUT is a subject; without NEW-NAME the shortcut is deleted. Ends with 0 when there was one.
 */
#include "mailbox/mailbox.h"

#include <cpuu/plugin.h>

#include <stdio.h>
#include <string.h>

#define SUBJECT    0x0037001Fu /* PidTagSubject */
#define NORMALISED 0x0E1D001Fu /* PidTagNormalizedSubject */

static int change(cpuu_mail *mail, cpuu_mailbox *box, const char *from, const char *to,
                  cpuu_error *err)
{
    static const uint32_t tags[] = {NORMALISED};
    cpuu_mail_op read = {.verb = CPUU_MAIL_READ, .box = box, .what = CPUU_HIDDEN,
                         .role = CPUU_ROLE_COMMON_VIEWS, .filter = "IPM.Microsoft.WunderBar.Link",
                         .tags = tags, .n_tags = 1};
    cpuu_value name = {.tag = SUBJECT, .data = (const void *)to,
                       .size = to ? (uint32_t)strlen(to) : 0};
    int found = 0;
    if (cpuu_mail_run(mail, &read, 1, err) != CPUU_OK)
        return 0;
    for (size_t i = 0; i < read.rows.count && !found; i++) {
        const cpuu_mail_row *row = &read.rows.items[i];
        if (row->rc < 0 || row->values[0].size != strlen(from) ||
            memcmp(row->values[0].data, from, strlen(from)) != 0)
            continue;
        cpuu_mail_op write = {.verb = to ? CPUU_MAIL_UPDATE : CPUU_MAIL_DELETE, .box = box,
                              .what = CPUU_HIDDEN, .role = CPUU_ROLE_COMMON_VIEWS, .id = row->id,
                              .set = to ? &name : NULL, .n_set = to ? 1 : 0};
        found = cpuu_mail_run(mail, &write, 1, err) == CPUU_OK && write.rc == CPUU_OK;
        if (write.rc < 0)
            *err = write.error;
    }
    cpuu_mail_op_clear(&read);
    return found;
}

int main(int argc, char **argv)
{
    if (argc != 7 && argc != 8)
        return 2;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_http *http = NULL;
    cpuu_mail *mail = NULL;
    cpuu_credentials who = {argv[4], argv[5]};
    cpuu_endpoint at = {.emsmdb_url = argv[2], .account_dn = argv[3], .credentials = &who};
    cpuu_http_options options = {.ca_file = argv[1]};
    cpuu_mail_open open = {.endpoint = &at, .mailbox_dn = argv[3], .smtp = argv[4], .writable = true};
    int done = 0;
    if (cpuu_http_new(&options, NULL, &http, &err) == CPUU_OK &&
        cpuu_mail_new(http, NULL, NULL, &mail, &err) == CPUU_OK &&
        cpuu_mail_open_all(mail, &open, 1, &err) == CPUU_OK) {
        if (open.rc == CPUU_OK)
            done = change(mail, open.box, argv[6], argc == 8 ? argv[7] : NULL, &err);
        else
            err = open.error;
    }
    if (!done)
        fprintf(stderr, "cpuu-second-client: '%s': %s\n", argv[6], *err.text ? err.text : "not found");
    cpuu_mail_free(mail);
    cpuu_http_free(http);
    return !done;
}
