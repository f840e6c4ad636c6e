/* A dirty hive and the log files beside it become the hive the user had; see hive.h. */
#include <config.h>

#include "registry/hive.h"
#include "registry/hivelog.h"

#include "base/file.h"
#include "base/mem.h"

#include <errno.h>

#define MAX_LOG ((size_t)256 << 20)

/* The log file beside the hive, whatever the case of its name; an empty buffer when there is none. */
static cpuu_rc read_log(const char *hive, const char *end, cpuu_buf *out, cpuu_error *err)
{
    char *folder = cpuu_path_dir(hive), *name = cpuu_asprintf("%s%s", cpuu_path_base(hive), end);
    char *path = NULL;
    cpuu_rc rc = folder && name ? cpuu_path_nocase(folder, name, &path, err) : cpuu_nomem(err);
    if (rc == CPUU_OK)
        rc = cpuu_file_read(path, out, NULL, err);
    cpuu_free(folder);
    cpuu_free(name);
    cpuu_free(path);
    return rc == CPUU_E_NOTFOUND ? CPUU_OK : rc;
}

static cpuu_rc replace_image(cpuu_hive_image *image, const cpuu_buf *with, cpuu_hive_image *found,
                             cpuu_error *err)
{
    cpuu_hive_image fresh;
    cpuu_hive_image_init(&fresh);
    cpuu_rc rc = cpuu_hive_image_create(&fresh, err);
    if (rc == CPUU_OK && !cpuu_hive_put(fresh.fd, with->data, with->size, 0))
        rc = cpuu_fail_errno(err, errno, "cannot get memory for a copy of the hive");
    if (rc == CPUU_OK)
        rc = cpuu_hive_image_map(&fresh, err);
    if (rc != CPUU_OK) {
        cpuu_hive_image_free(&fresh);
        return rc;
    }
    *found = *image;
    *image = fresh;
    return CPUU_OK;
}

cpuu_rc cpuu_hive_recover(const char *path, cpuu_hive_image *image, cpuu_hive_image *found,
                          cpuu_log *log, cpuu_error *err)
{
    static const char *const ends[] = {".LOG1", ".LOG2"};
    cpuu_buf logs[2], whole;
    unsigned entries = 0;
    cpuu_rc rc = CPUU_OK;
    if (!cpuu_hive_is_dirty(image->data, image->size))
        return CPUU_OK;
    cpuu_buf_init(&whole, CPUU_HIVE_MAX_SIZE);
    for (size_t i = 0; i < 2; i++) {
        cpuu_buf_init(&logs[i], MAX_LOG);
        if (rc == CPUU_OK)
            rc = read_log(path, ends[i], &logs[i], err);
    }
    if (rc == CPUU_OK)
        rc = cpuu_hive_replay(image->data, image->size, logs, &whole, &entries, err);
    if (rc == CPUU_OK)
        rc = replace_image(image, &whole, found, err);
    if (rc == CPUU_OK)
        cpuu_logf(log, CPUU_LV_TRACE, "Registry: '%s' was not written completely; %u entries of its "
                  "log files are added to it", path, entries);
    cpuu_buf_free(&logs[0]);
    cpuu_buf_free(&logs[1]);
    cpuu_buf_free(&whole);
    return rc;
}
