/* SPDX-License-Identifier: Apache-2.0 */
/* A C program that loads C++ for itself alone: plugin_host PATH. Its operator new is found in the shim before libstdc++. */
#include <dlfcn.h>

#include "tally.h"

int main(int argc, char **argv)
{
    void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    void (*run)(void);

    if (!plugin) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    *(void **)&run = dlsym(plugin, "operator_mix_run");
    setvbuf(stdout, NULL, _IONBF, 0);
    tally_mark();
    run();
    tally_mark();
    return 0;
}
