/*
 * Files. Writing is atomic: a temporary file in the same folder, flushed, renamed over the old one,
 * folder flushed. Reading refuses what is not a regular file. Because a root process works inside
 * folders that users can write, paths are opened without following a link in the last component,
 * and a file with more than one hard link is refused.
 */
#ifndef CPUU_BASE_FILE_H
#define CPUU_BASE_FILE_H

#include "base/error.h"

#include <cpuu/formats/bytes.h>

#include <sys/stat.h>

/* The whole file into out (an empty, initialised buffer whose max is the limit: CPUU_E_TOOBIG past
 * it). st may be NULL. CPUU_E_NOTFOUND when there is none. */
cpuu_rc cpuu_file_read(const char *path, cpuu_buf *out, struct stat *st, cpuu_error *err);
/* Creates or atomically replaces path. A replaced file's owner, mode and extended attributes are
 * kept or the call is refused; a new file gets `mode` and, when root makes it, the
 * owner of its folder. Fault points: "file.write", "file.flush",
 * "file.rename", "file.dirsync". On failure path is as before (or new, when only the last step, the
 * flush of the folder, failed) and no temporary file is left. */
cpuu_rc cpuu_file_write(const char *path, const void *data, size_t size, mode_t mode,
                        cpuu_error *err);

/* Opens a regular file with one link for reading; *fd is the caller's. */
cpuu_rc cpuu_file_open(const char *path, int *fd, struct stat *st, cpuu_error *err);
/* Everything from the current position of fd; limits as in cpuu_file_read. path is for messages. */
cpuu_rc cpuu_file_read_fd(int fd, const char *path, cpuu_buf *out, cpuu_error *err);

/* Copies a file of any size to `to`, created or replaced as by cpuu_file_write() and flushed.
 * CPUU_E_TOOBIG when there is no room for it. */
cpuu_rc cpuu_file_copy(const char *from, const char *to, cpuu_error *err);

/* The steps of cpuu_file_write for callers that look at the new file, or the old one, in between:
 * begin, write, flush, rename, end. `end` is owed after a successful begin, whatever happened
 * since, and removes the temporary file unless it was renamed. */
typedef struct cpuu_replace_points { /* names of the fault points */
    const char *write, *flush, *rename, *dirsync;
} cpuu_replace_points;

typedef struct cpuu_replace {
    const char *path; /* borrowed */
    const cpuu_replace_points *points; /* borrowed */
    int dir;          /* the folder */
    int fd;           /* the temporary file, open for reading and writing */
    char temp[280];   /* its name in the folder */
} cpuu_replace;

/* The temporary file has a random name, and owner, mode, attributes of the old file, or `mode`. */
cpuu_rc cpuu_replace_begin(cpuu_replace *r, const char *path, mode_t mode,
                           const cpuu_replace_points *points, cpuu_error *err);
/* In place of begin, for a caller that holds a lock that keeps others away: the name is made from
 * path, and what a killed process left there is removed first. The file is the process's alone
 * until `inherit` gives it owner, mode and attributes of the old file, which is owed before the
 * flush. */
cpuu_rc cpuu_replace_begin_locked(cpuu_replace *r, const char *path,
                                  const cpuu_replace_points *points, cpuu_error *err);
cpuu_rc cpuu_replace_inherit(cpuu_replace *r, cpuu_error *err);
cpuu_rc cpuu_replace_write(cpuu_replace *r, const void *data, size_t size, cpuu_error *err);
cpuu_rc cpuu_replace_flush(cpuu_replace *r, cpuu_error *err);
/* When only the flush of the folder fails, path is the new file although an error is returned. */
cpuu_rc cpuu_replace_rename(cpuu_replace *r, cpuu_error *err);
void cpuu_replace_end(cpuu_replace *r);
/* Removes what a process that was killed between a locked begin and its rename has left beside
 * path. The caller holds the lock. */
void cpuu_replace_sweep(const char *path);

/* A regular file, or a link to one: for files that a library opens by their names. */
bool cpuu_is_file(const char *path);
/* Missing is success. */
cpuu_rc cpuu_file_delete(const char *path, cpuu_error *err);
/* Flushes the folder that holds path, so that a create, rename or delete in it lasts. */
cpuu_rc cpuu_file_sync_dir(const char *path, cpuu_error *err);
/* Makes a folder and its missing parents with the given mode. */
cpuu_rc cpuu_mkdirs(const char *path, mode_t mode, cpuu_error *err);
/* A path below a Windows-style user folder, each component found without regard to case; "\" and
 * "/" both separate. CPUU_E_NOTFOUND when a component does not exist, and then *out is the path as
 * it would be created. *out is owned by the caller. */
cpuu_rc cpuu_path_nocase(const char *base, const char *relative, char **out, cpuu_error *err);
/* "folder/name", owned by the caller; NULL when out of memory. */
char *cpuu_path_join(const char *folder, const char *name);
/* Folder part of a path, owned by the caller: "." when there is none. */
char *cpuu_path_dir(const char *path);
const char *cpuu_path_base(const char *path);

#endif
