/* SPDX-License-Identifier: Apache-2.0 */
/* perfanalyze: parses the command line and runs the command. */
#include <stdio.h>

#include "allowance.h"
#include "cli.h"
#include "error.h"
#include "trace.h"

/* Output that could not be written must not pass for a result. */
static int finish_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    perror("perfanalyze: cannot write the output");
    return CLI_UNUSABLE;
}

int main(int argc, char **argv)
{
    struct error e = {.text = ""};
    struct cli c;

    if (cli_parse(&c, argc, argv, &e) < 0) {
        error_print(&e, NULL);
        return CLI_UNUSABLE;
    }
    if (c.help) {
        cli_help(stdout, c.command);
        return finish_output(CLI_FINE);
    }
    if (c.version) {
        printf("perfanalyze %s (trace format %d.%d)\n", PERFSHIM_VERSION, TRACE_VERSION_MAJOR, TRACE_VERSION_MINOR);
        return finish_output(CLI_FINE);
    }
    allowance_set(c.file);
    return finish_output(cli_run(&c));
}
