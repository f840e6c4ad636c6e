/* A whole registry as .reg text: every profile in it is read, checked, classified, scanned,
 * switched, imaged and restored. A refusal stages nothing; the image of the switched profile brings
 * back the old one. */
#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const cpuu_identity source = {.smtp = "anna.alder@source.example",
                                     .legacy_dn = "/o=SourceOrg/cn=anna",
                                     .display_name = "Anna"};
static const cpuu_identity target = {.smtp = "anna@target.example", .legacy_dn = "/o=T/cn=anna"};

static void switch_and_back(cpuu_reg *reg, cpuu_profile *p, const cpuu_account *a)
{
    cpuu_edits e;
    cpuu_buf image;
    cpuu_switch_options o = {.disable_scp = true, .remove_junk = true};
    cpuu_edits_init(&e);
    cpuu_buf_init(&image, 1 << 26);
    if (cpuu_profile_image(p, NULL, &image, NULL) < 0)
        abort();
    if (cpuu_profile_switch(p, a, &source, &target, &o, &e, NULL) < 0) {
        if (e.count)
            abort();
    } else {
        bool equal = false;
        char *difference = NULL;
        if (cpuu_reg_apply(reg, &e, NULL) < 0)
            abort();
        cpuu_edits_truncate(&e, 0);
        if (cpuu_profile_restore(reg, image.data, image.size, &e, NULL) < 0 ||
            cpuu_reg_apply(reg, &e, NULL) < 0 ||
            cpuu_profile_compare(reg, image.data, image.size, &equal, &difference, NULL) < 0 ||
            !equal)
            abort();
    }
    cpuu_buf_free(&image);
    cpuu_edits_free(&e);
}

static void use(cpuu_reg *reg, const cpuu_profile_root *root, const char *name)
{
    cpuu_profile *p;
    if (cpuu_profile_open(reg, root, name, &p, NULL) < 0)
        return;
    cpuu_findings f;
    cpuu_leftovers l;
    if (cpuu_profile_check(p, &f, NULL) < 0 || cpuu_profile_scan(p, &source, &l, NULL) < 0)
        abort();
    cpuu_findings_free(&f);
    cpuu_leftovers_free(&l);
    const cpuu_account *a;
    const char *reason;
    cpuu_profile_rules rules = {.allow_all_services = true, .process_offline = true};
    if (cpuu_profile_classify(p, &rules, &a, &reason) == 0)
        switch_and_back(reg, p, a);
    cpuu_profile_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cpuu_reg *reg = NULL;
    cpuu_edits e;
    cpuu_profile_roots roots;
    cpuu_edits_init(&e);
    if (cpuu_reg_open_memory(&reg, NULL) < 0)
        abort();
    if (cpuu_reg_parse_text(data, size, &e, NULL) >= 0 && cpuu_reg_apply(reg, &e, NULL) >= 0 &&
        cpuu_profile_discover(reg, &roots, NULL) >= 0) {
        for (size_t r = 0; r < roots.count; r++)
            for (size_t i = 0; i < roots.items[r].names.count; i++)
                use(reg, &roots.items[r], roots.items[r].names.items[i]);
        cpuu_profile_roots_free(&roots);
    }
    cpuu_edits_free(&e);
    cpuu_reg_close(reg);
    return 0;
}
