/*
 * All folders below one, from a server that does not go deep: some take the Depth flag of
 * GetHierarchyTable ([MS-OXCFOLD] 2.2.1.13.1) and answer with the children alone. A table in which
 * nothing lies deeper is followed, table by table, into those who do not say that they have no
 * subfolders. Nothing is asked of a server that did go deep.
 */
#include "mailbox/pool.h"

#define MAX_FOLDERS 100000u

/* A row that tells no parent says nothing against. */
static bool is_flat(const cpuu_work *w)
{
    for (size_t i = 0; i < w->n_rows; i++)
        if (w->rows[i].mid && w->rows[i].mid != w->fid)
            return false;
    return true;
}

/* The parent of a folder is the one whose table it was found in; of the rest the first one. */
static void end_walk(cpuu_work *w)
{
    for (size_t i = 0; w->walked && i < w->n_rows; i++)
        if (!w->rows[i].mid)
            w->rows[i].mid = w->top_fid;
}

bool cpuu_tree_more(cpuu_work *w)
{
    if (!cpuu_read_is_tree(w) || w->op->on_row || !w->end || w->n_rows > MAX_FOLDERS ||
        (!w->walked && !is_flat(w)))
        return false;
    while (w->walked < w->n_rows && w->rows[w->walked].leaf)
        w->walked++;
    if (w->walked == w->n_rows) {
        end_walk(w);
        return false;
    }
    if (!w->top_fid)
        w->top_fid = w->fid;
    w->fid = w->rows[w->walked++].fid;
    w->pos = w->total = 0;
    w->end = false;
    return true;
}

bool cpuu_tree_knows(cpuu_work *w, uint64_t fid)
{
    for (size_t i = 0; w->top_fid && i < w->n_rows; i++)
        if (w->rows[i].fid == fid) {
            if (!w->rows[i].mid)
                w->rows[i].mid = w->fid;
            return true;
        }
    return false;
}
