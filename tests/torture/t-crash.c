/*
 * The crash model of one profile, run against the real journal.
 *
 * The world is a registry, a mailbox and a local file (here three small files, each replaced
 * atomically) and a journal. The program is killed at every fault point of update, undo and
 * cleanup; the start that follows is killed at each of its own points, and so is the start after
 * that; in between the user may work with a switched profile. After every start that ran to its end
 * two laws hold: whole   registry, mailbox and file are all old or all new polite  a start never
 * takes back a profile that was used since it was switched, unless the user had asked for the undo
 */
#include "config.h"

#include "base/fault.h"
#include "base/file.h"
#include "journal/journal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_FILES 12
#define KILLED    99
#define WRONG     98

static int fuel = -1; /* steps until the process ends; -1 unlimited */

void cpuu_fault_step(const char *what)
{
    (void)what;
    if (fuel >= 0 && fuel-- == 0)
        _exit(KILLED);
}

bool cpuu_fault_fail(const char *what)
{
    (void)what;
    return false;
}

static char dir[64], state_dir[80];
static const uint8_t UID[16] = {7};
static const cpuu_journal_key KEY = {"Root", "Outlook", UID, ""};

static void need(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "t-crash: %s\n", what);
        _exit(WRONG);
    }
}

/* ---- the world ------------------------------------------------------------------------------- */

static void path_of(char out[128], const char *name)
{
    snprintf(out, 128, "%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
    char path[128];
    path_of(path, name);
    need(cpuu_file_write(path, text, strlen(text), 0600, NULL) == CPUU_OK,
         "cannot write the world");
}

static void get(const char *name, char out[64])
{
    char path[128];
    path_of(path, name);
    FILE *f = fopen(path, "r");
    need(f != NULL, "cannot read the world");
    size_t n = fread(out, 1, 63, f);
    out[n] = 0;
    fclose(f);
}

static bool is(const char *name, const char *text)
{
    char now[64];
    get(name, now);
    return strcmp(now, text) == 0;
}

/* The registry: "old", "new" (with our marker) or "new used". */
static bool marker(void)
{
    return !is("registry", "old");
}

static bool whole(void)
{
    bool reg_new = marker();
    return is("mailbox", reg_new ? "new" : "old") && is("file", reg_new ? "new" : "old");
}

/* ---- the program, in the order of architecture 4 and 5 --------------------------------------- */

static cpuu_journal *open_journal(bool create)
{
    cpuu_journal *j = NULL;
    cpuu_error err = CPUU_ERROR_INIT;
    cpuu_rc rc = cpuu_journal_open(state_dir, &KEY, create, NULL, &j, &err);
    need(rc == CPUU_OK || rc == CPUU_E_NOTFOUND, err.text);
    return j;
}

static void change(cpuu_journal *j, int64_t span, const char *what)
{
    cpuu_record r = {.span = span,
                     .kind = CPUU_RECORD_FILE,
                     .status = CPUU_RECORD_PLANNED,
                     .path = what,
                     .has_before = true,
                     .has_after = true,
                     .before = {(const uint8_t *)"old", 3},
                     .after = {(const uint8_t *)"new", 3}};
    need(cpuu_journal_add(j, &r, NULL) == CPUU_OK, "add");
    need(cpuu_journal_flush(j, NULL) == CPUU_OK, "flush");
    put(what, "new");
    need(cpuu_journal_mark(j, r.seq, CPUU_RECORD_DONE, NULL, NULL) == CPUU_OK, "mark");
}

static void update(void)
{
    int64_t span;
    cpuu_journal *j = open_journal(true);
    need(cpuu_journal_put(j, "image", "old", 3, NULL) == CPUU_OK, "image");
    need(cpuu_journal_set_state(j, CPUU_J_ACTIVE, NULL) == CPUU_OK, "active");
    need(cpuu_journal_begin_span(j, "Rules", &span, NULL) == CPUU_OK, "span");
    change(j, span, "mailbox");
    need(cpuu_journal_end_span(j, span, CPUU_SPAN_OK, NULL) == CPUU_OK, "end span");
    need(cpuu_journal_begin_span(j, "Nicks", &span, NULL) == CPUU_OK, "span");
    change(j, span, "file");
    need(cpuu_journal_end_span(j, span, CPUU_SPAN_OK, NULL) == CPUU_OK, "end span");
    put("registry", "new");
    need(cpuu_journal_set_state(j, CPUU_J_COMMITTED, NULL) == CPUU_OK, "committed");
    cpuu_journal_close(j);
}

static cpuu_rc take_back(void *user, const cpuu_record *r)
{
    cpuu_journal *j = user;
    if (r->status == CPUU_RECORD_UNDONE)
        return CPUU_OK;
    char old[64];
    snprintf(old, sizeof(old), "%.*s", (int)r->before.size, (const char *)r->before.data);
    if (!is(r->path, old))
        put(r->path, old);
    return cpuu_journal_mark(j, r->seq, CPUU_RECORD_UNDONE, NULL, NULL);
}

static void roll_back(cpuu_journal *j)
{
    need(cpuu_journal_each(j, 0, true, take_back, j, NULL) == CPUU_OK, "replay");
    if (marker()) {
        cpuu_buf image;
        cpuu_buf_init(&image, 64);
        need(cpuu_journal_get(j, "image", &image, NULL) == CPUU_OK, "image lost");
        cpuu_buf_u8(&image, 0);
        put("registry", (const char *)image.data);
        cpuu_buf_free(&image);
    }
    need(cpuu_journal_destroy(j, NULL) == CPUU_OK, "destroy");
}

static void undo(void)
{
    cpuu_journal *j = open_journal(false);
    need(j != NULL, "nothing to undo");
    need(cpuu_journal_set_state(j, CPUU_J_UNDOING, NULL) == CPUU_OK, "undoing");
    roll_back(j);
}

static void cleanup(void)
{
    cpuu_journal *j = open_journal(false);
    need(j != NULL, "nothing to clean up");
    need(cpuu_journal_set_state(j, CPUU_J_CLEANING, NULL) == CPUU_OK, "cleaning");
    need(cpuu_journal_destroy(j, NULL) == CPUU_OK, "destroy");
}

static void recover(void)
{
    cpuu_journal *j = open_journal(false);
    if (!j)
        return;
    switch (cpuu_journal_get_state(j)) {
    case CPUU_J_NONE:
    case CPUU_J_CLEANING:
        need(cpuu_journal_destroy(j, NULL) == CPUU_OK, "destroy");
        return;
    case CPUU_J_ACTIVE:
        if (!marker()) {
            roll_back(j);
            return;
        }
        need(cpuu_journal_set_state(j, CPUU_J_COMMITTED, NULL) == CPUU_OK, "roll forward");
        break;
    case CPUU_J_UNDOING:
        roll_back(j);
        return;
    case CPUU_J_COMMITTED:
        break;
    }
    cpuu_journal_close(j);
}

/* ---- exploring ------------------------------------------------------------------------------- */

typedef struct snapshot {
    size_t count;
    struct {
        char path[300];
        uint8_t *data;
        size_t size;
    } files[MAX_FILES];
} snapshot;

static void drop(snapshot *s)
{
    for (size_t i = 0; i < s->count; i++)
        free(s->files[i].data);
    s->count = 0;
}

static void take_dir(snapshot *s, const char *folder)
{
    DIR *d = opendir(folder);
    need(d != NULL, "no world");
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_type != DT_REG)
            continue;
        need(s->count < MAX_FILES, "too many files left behind");
        cpuu_buf b;
        cpuu_buf_init(&b, 1 << 24);
        snprintf(s->files[s->count].path, 300, "%s/%s", folder, e->d_name);
        need(cpuu_file_read(s->files[s->count].path, &b, NULL, NULL) == CPUU_OK, "snapshot");
        s->files[s->count].data = b.data;
        s->files[s->count++].size = b.size;
    }
    closedir(d);
}

static void empty_dir(const char *folder)
{
    snapshot s = {0};
    take_dir(&s, folder);
    for (size_t i = 0; i < s.count; i++)
        unlink(s.files[i].path);
    drop(&s);
}

static void take(snapshot *s)
{
    s->count = 0;
    take_dir(s, dir);
    take_dir(s, state_dir);
}

static void give_back(const snapshot *s)
{
    empty_dir(dir);
    empty_dir(state_dir);
    for (size_t i = 0; i < s->count; i++) {
        FILE *f = fopen(s->files[i].path, "wb");
        need(f != NULL, "restore");
        if (s->files[i].size)
            fwrite(s->files[i].data, 1, s->files[i].size, f);
        fclose(f);
        chmod(s->files[i].path, 0600);
    }
}

static unsigned starts, violations;

/* True when it ran to its end. */
static bool run(void (*what)(void), int kill_at)
{
    int status = 0;
    starts++;
    pid_t pid = fork();
    if (pid == 0) {
        fuel = kill_at;
        what();
        _exit(0);
    }
    need(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status), "the program crashed");
    need(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED, "the program failed");
    return WEXITSTATUS(status) == 0;
}

static void violated(const char *law, const char *history)
{
    violations++;
    fprintf(stderr, "%s broken: %s\n", law, history);
}

static void settle(const char *history, int depth, bool undo_asked)
{
    snapshot s;
    take(&s);
    for (int used = 0; used < 2; used++) {
        bool over = false;
        for (int kill_at = 0; !over; kill_at++) {
            char h[512];
            give_back(&s);
            if (used && !marker())
                break;
            if (used)
                put("registry", "new used");
            bool was_used = is("registry", "new used");
            bool done = run(recover, depth ? kill_at : -1);
            snprintf(h, sizeof(h), "%s; %sstart%s %d", history, used ? "used, " : "",
                     done ? "" : " killed at", kill_at);
            if (was_used && !undo_asked && !is("registry", "new used"))
                violated("polite", h);
            if (done && !whole())
                violated("whole", h);
            if (!done)
                settle(h, depth - 1, undo_asked);
            over = done;
        }
    }
    give_back(&s);
    drop(&s);
}

static void begin_world(void)
{
    empty_dir(dir);
    empty_dir(state_dir);
    put("registry", "old");
    put("mailbox", "old");
    put("file", "old");
}

static unsigned explore(const char *name, void (*verb)(void), bool after_update, int depth)
{
    int kill_at = 0;
    for (bool done = false; !done; kill_at++) {
        char h[64];
        begin_world();
        if (after_update)
            need(run(update, -1), "update");
        done = run(verb, kill_at);
        snprintf(h, sizeof(h), "%s%s %d", name, done ? "" : " killed at", kill_at);
        if (done && !whole())
            violated("whole", h);
        if (done && strcmp(name, "undo") == 0 && marker())
            violated("undo", h);
        if (!done)
            settle(h, depth, verb == undo);
    }
    return (unsigned)kill_at - 1;
}

/* Argument: how many starts in a row may be killed; 1 without (2 takes a few minutes). */
int main(int argc, char **argv)
{
    int depth = argc > 1 ? atoi(argv[1]) : 1;
    strcpy(dir, "/tmp/t-crash-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    snprintf(state_dir, sizeof(state_dir), "%s/state", dir);
    mkdir(state_dir, 0700);

    unsigned u = explore("update", update, false, depth);
    unsigned n = explore("undo", undo, true, depth);
    unsigned c = explore("cleanup", cleanup, true, depth);
    printf("killed at %u points of update, %u of undo, %u of cleanup: %u starts, %u violations\n",
           u, n, c, starts, violations);

    empty_dir(state_dir);
    empty_dir(dir);
    rmdir(state_dir);
    rmdir(dir);
    /* Fewer points than the writes above have would mean that the fault points are gone. */
    return violations || u < 15 || n < 5 || c < 2;
}
