#include "fixture.h"

#include <stdlib.h>

int main(void)
{
    SRunner *r = srunner_create(mv_suite());
    srunner_add_suite(r, model_suite());
    srunner_add_suite(r, edit_suite());
    srunner_add_suite(r, switch_suite());
    srunner_add_suite(r, hive_suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
