#include <cpuu/validate.h>

#include <cpuu/formats/bytes.h>

#include <stddef.h>
#include <string.h>

#define MAX_READS 64u
#define MAX_NAMES 512u
#define MAX_NEEDS 0x11ffu /* the bits of CPUU_NEED_* and CPUU_FOR_* that this version knows */
#define MAX_LINKS 0x01ffu

/* Sizes in interface 1.0; a plugin's structures may be larger, never smaller. */
#define END_OF(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        const char x = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a;
        const char y = *b >= 'A' && *b <= 'Z' ? (char)(*b + 32) : *b;
        if (x != y)
            return false;
    }
    return *a == *b;
}

static bool text_ok(const char *s)
{
    return s && *s && strlen(s) < 256 && cpuu_utf8_valid(s, strlen(s));
}

static bool name_ok(const char *s)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char more[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    size_t n = s ? strnlen(s, 33) : 0;
    return n >= 1 && n <= 32 && strchr(letters, s[0]) && strspn(s, more) == n;
}

cpuu_query cpuu_validate_query_at(const cpuu_query *first, uint32_t i)
{
    cpuu_query q = {0};
    const size_t stride = first->size;
    memcpy(&q, (const char *)first + stride * i, stride < sizeof(q) ? stride : sizeof(q));
    q.size = sizeof(q);
    return q;
}

const char *cpuu_validate_query(const cpuu_feature *f, const cpuu_query *q)
{
    const uint32_t need = q->side == CPUU_SOURCE    ? CPUU_NEED_SOURCE
                          : q->side == CPUU_TARGET  ? CPUU_NEED_TARGET
                          : q->side == CPUU_PROFILE ? CPUU_NEED_PROFILE
                                                    : 0;
    if (!need)
        return "a query names no side";
    if (!(f->needs & need))
        return "a query reads a side that `needs` does not declare";
    if ((q->side == CPUU_PROFILE) != (q->what == CPUU_SECTIONS))
        return "profile sections are read from the profile, and nothing else is";
    if (q->what < CPUU_ITEMS || q->what > CPUU_SECTIONS)
        return "a query asks for an unknown kind of row";
    if (q->side == CPUU_PROFILE ? q->role < CPUU_ROLE_MASTER || q->role > CPUU_ROLE_SEND_RECEIVE
                                : q->role > CPUU_ROLE_PUBLIC)
        return "a query names an unknown role";
    if (q->role == CPUU_ROLE_PUBLIC && !(f->needs & CPUU_NEED_PUBLIC))
        return "a query reads public folders, which `needs` does not declare";
    if (q->store.size && !(f->needs & (CPUU_NEED_OTHERS | CPUU_NEED_PUBLIC)))
        return "a query opens another mailbox, which `needs` does not declare";
    if (q->flags & ~(CPUU_DEEP | CPUU_STREAM))
        return "a query has unknown flags";
    if (q->n_tags > 1024 || (q->n_tags && !q->tags))
        return "a query has no list of tags";
    for (uint32_t i = 0; i < q->n_tags; i++) {
        uint32_t id = q->tags[i] >> 16;
        if (q->side != CPUU_PROFILE && id >= 0x8000u && id - 0x8000u >= f->n_names)
            return "a query asks for a named property that `names` does not declare";
    }
    return NULL;
}

static const char *reads_problem(const cpuu_feature *f)
{
    if (f->n_reads > MAX_READS || (f->n_reads && !f->reads))
        return "`reads` does not hold n_reads queries";
    if (f->n_reads && f->reads[0].size < END_OF(cpuu_query, store))
        return "a query has the wrong size";
    for (uint32_t i = 0; i < f->n_reads; i++) {
        cpuu_query q = cpuu_validate_query_at(f->reads, i);
        const char *problem = cpuu_validate_query(f, &q);
        if (problem)
            return problem;
        if (q.flags & CPUU_STREAM)
            return "a query of unbounded size cannot be declared; read it in update()";
        if (q.folder.size || q.store.size || (q.role == CPUU_ROLE_NONE && q.what != CPUU_STORE))
            return "a declared query can only name a place by its role";
    }
    return NULL;
}

static const char *names_problem(const cpuu_feature *f)
{
    if (f->n_names > MAX_NAMES || (f->n_names && !f->names))
        return "`names` does not hold n_names names";
    for (uint32_t i = 0; i < f->n_names; i++) {
        if (f->names[i].string && !text_ok(f->names[i].string))
            return "a named property has an empty or unreadable name";
    }
    return NULL;
}

static const char *after_problem(const cpuu_feature *f)
{
    for (size_t i = 0; f->after && f->after[i]; i++) {
        if (i >= 64)
            return "`after` has no end";
        if (!name_ok(f->after[i]))
            return "`after` holds what cannot be the name of a feature";
        if (same_name(f->after[i], f->name))
            return "it wants to run after itself";
    }
    return NULL;
}

static const char *feature_problem(const cpuu_feature *f)
{
    if (f->size < END_OF(cpuu_feature, cleanup))
        return "the structure of a feature is too small";
    if (!name_ok(f->name))
        return "a feature's name is not a letter followed by at most 31 letters and digits";
    if (!text_ok(f->title))
        return "it has no title";
    if (!f->update)
        return "it has no update()";
    if (f->needs & ~MAX_NEEDS)
        return "it needs something that this version of the program does not offer";
    if (f->links & ~MAX_LINKS)
        return "it translates a kind of link that this version of the program does not know";
    if ((f->needs & CPUU_NEED_TARGET_WRITE) && !(f->needs & CPUU_NEED_TARGET))
        return "it writes to the target without reading it";
    if ((f->needs & CPUU_NEED_PROFILE_WRITE) && !(f->needs & CPUU_NEED_PROFILE))
        return "it writes to the profile without reading it";
    if ((f->needs & CPUU_NEED_FILES_WRITE) && !(f->needs & CPUU_NEED_FILES))
        return "it writes files without reading them";
    const char *problem = reads_problem(f);
    if (!problem)
        problem = names_problem(f);
    return problem ? problem : after_problem(f);
}

const char *cpuu_validate_plugin(const cpuu_plugin *p, const char **feature)
{
    *feature = NULL;
    if (p->size < END_OF(cpuu_plugin, abi))
        return "its data is too small to say which interface it was built for";
    if (CPUU_ABI_MAJOR(p->abi) != CPUU_ABI_MAJOR(CPUU_ABI_VERSION))
        return "it was built for another major version of the plugin interface";
    if (p->size < END_OF(cpuu_plugin, features))
        return "the structure of the plugin is too small";
    if (!text_ok(p->version) || !text_ok(p->vendor) || !text_ok(p->license))
        return "version, vendor and license must all be given";
    if (!p->features || !p->features[0])
        return "it holds no feature";
    for (size_t i = 0; p->features[i]; i++) {
        const cpuu_feature *f = p->features[i];
        if (i >= 64)
            return "the list of features has no end";
        if (f->size >= END_OF(cpuu_feature, cleanup) && name_ok(f->name))
            *feature = f->name;
        const char *problem = feature_problem(f);
        for (size_t k = 0; k < i && !problem; k++) {
            if (same_name(p->features[k]->name, f->name))
                problem = "another feature of the plugin has the same name";
        }
        if (problem)
            return problem;
        *feature = NULL;
    }
    return NULL;
}
