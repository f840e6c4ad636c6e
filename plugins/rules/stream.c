#include "stream.h"

#include <cpuu/formats/rulestream.h>

#include <string.h>

#define MAX_STREAM (16u << 20)

void stream_collect(kit_relink *links, cpuu_blob stream, bool at_target)
{
    cpuu_buf out;
    cpuu_buf_init(&out, MAX_STREAM);
    kit_relink_begin(links, at_target ? KIT_OWN_IDS : 0);
    if (stream.size)
        cpuu_xr_rewrite(stream, CPUU_XR_STREAM, kit_relink_cb, links, &out, NULL, NULL, NULL);
    links->failed = links->failed || out.failed;
    cpuu_buf_free(&out);
}

/* ---- rule by rule ---------------------------------------------------------------------------- */

typedef struct stream_walk {
    kit_rule_job *job;
    const kit_rules *reported; /* NULL: nothing is reported */
    uint32_t ignore;
    uint8_t *patched; /* the stream, in which rules are switched off */
    uint32_t count;
    /* the rule at hand */
    bool any, on, opaque;
    uint32_t active_at;
    char title[256];
    const cpuu_link *decides;
    bool dead;
} stream_walk;

static bool is_reported(const stream_walk *w)
{
    for (uint32_t i = 0; i < w->reported->count; i++) {
        cpuu_blob name = kit_blob(&w->reported->items[i].v[KR_NAME]);
        if (name.size == strlen(w->title) && memcmp(name.data, w->title, name.size) == 0)
            return true;
    }
    return false;
}

static void rule_over(stream_walk *w)
{
    if (!w->any)
        return;
    if (w->on && w->dead && w->active_at)
        memset(w->patched + w->active_at, 0, 4);
    if (w->on && w->reported && !is_reported(w)) {
        if (w->opaque)
            kit_decide_as(w->job->host, w->job->run, CPUU_KEPT, CPUU_WHY_UNREADABLE, w->title, NULL,
                          NULL);
        else if (w->decides)
            kit_decide(w->job->host, w->job->run, w->decides, w->title);
    }
    w->any = w->on = w->opaque = w->dead = false;
    w->decides = NULL;
    w->active_at = 0;
    w->title[0] = 0;
}

static void take_title(stream_walk *w, cpuu_blob utf16)
{
    cpuu_buf text;
    cpuu_buf_init(&text, MAX_STREAM);
    if (cpuu_buf_utf8_from_utf16(&text, utf16.data, utf16.size)) {
        cpuu_value v = {0x3001001Fu, (uint32_t)text.size, text.data};
        kit_text(&v, w->title, sizeof(w->title));
    }
    w->job->links.failed = w->job->links.failed || text.failed;
    cpuu_buf_free(&text);
}

/* Asks the answers for one value again, so that the verdict is this rule's alone. */
static void judge(stream_walk *w, uint32_t kind, uint32_t type, cpuu_blob value)
{
    cpuu_buf out;
    cpuu_rewriter ask = {.cb = kit_relink_cb, .user = &w->job->links};
    cpuu_buf_init(&out, MAX_STREAM);
    kit_relink_begin(&w->job->links, w->ignore);
    if (kind == CPUU_LINK_NAMED_TAG)
        cpuu_rewrite_tag(&ask, cpuu_le32(value.data), &out);
    else
        cpuu_rewrite_value(&ask, kind, type, value, &out);
    w->job->links.failed = w->job->links.failed || out.failed;
    cpuu_buf_free(&out);
    const cpuu_link *l = kit_relink_verdict(&w->job->links);
    w->dead = w->dead || w->job->links.dead;
    if (l && (!w->decides || (w->decides->outcome != CPUU_DROPPED &&
                              (l->outcome == CPUU_DROPPED || l->outcome == CPUU_KEPT))))
        w->decides = l;
}

static bool on_item(void *user, const cpuu_xr_item *item)
{
    stream_walk *w = user;
    switch (item->what) {
    case CPUU_XR_RULE:
        rule_over(w);
        w->any = true;
        w->count++;
        break;
    case CPUU_XR_TEXT:
        if (item->element == UINT32_MAX && w->any && strcmp(item->field, "rule name") == 0)
            take_title(w, item->value);
        break;
    case CPUU_XR_NUMBER:
        if (item->element == UINT32_MAX && w->any && strcmp(item->field, "rule active") == 0) {
            w->on = cpuu_le32(item->value.data) != 0;
            w->active_at = item->offset;
        }
        break;
    case CPUU_XR_EID:
        if (item->value.size)
            judge(w, CPUU_LINK_EID, CPUU_PT_BINARY, item->value);
        break;
    case CPUU_XR_VALUE:
        if (cpuu_rawprop_link(item->tag, item->value))
            judge(w, cpuu_rawprop_link(item->tag, item->value), CPUU_TAG_TYPE(item->tag), item->value);
        break;
    case CPUU_XR_TAG:
        judge(w, CPUU_LINK_NAMED_TAG, 0, item->value);
        break;
    case CPUU_XR_OPAQUE:
        w->opaque = true;
        break;
    default:
        break;
    }
    return true;
}

uint32_t stream_count(cpuu_blob stream)
{
    /* 8 bytes of magic, 6 zeros, 2 ones, 1 zero of 4 bytes each; then the count (observed) */
    const uint32_t at = 8 + 9 * 4;
    if (stream.size < at + 2 || !cpuu_xr_walk(stream, CPUU_XR_STREAM, NULL, NULL, NULL, NULL))
        return 0;
    return cpuu_le16(stream.data + at);
}

cpuu_rc stream_rewrite(kit_rule_job *job, cpuu_blob stream, bool at_target,
                       const kit_rules *reported, cpuu_buf *out, bool *readable)
{
    stream_walk w = {.job = job, .reported = reported, .ignore = at_target ? KIT_OWN_IDS : 0};
    *readable = stream.size > 0 && stream.size <= MAX_STREAM &&
                cpuu_xr_walk(stream, CPUU_XR_STREAM, NULL, NULL, NULL, NULL);
    if (!*readable)
        return CPUU_OK;
    w.patched = cpuu_fmt_realloc(NULL, stream.size);
    if (!w.patched)
        return kit_nomem(job->host, job->run);
    memcpy(w.patched, stream.data, stream.size);
    cpuu_xr_walk(stream, CPUU_XR_STREAM, on_item, &w, NULL, NULL);
    rule_over(&w);
    kit_relink_begin(&job->links, w.ignore);
    bool ok = cpuu_xr_rewrite((cpuu_blob){w.patched, stream.size}, CPUU_XR_STREAM, kit_relink_cb,
                              &job->links, out, NULL, NULL, NULL);
    cpuu_fmt_free(w.patched);
    return ok && !job->links.failed ? CPUU_OK : kit_nomem(job->host, job->run);
}
