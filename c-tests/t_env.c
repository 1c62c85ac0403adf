/* The environment: what starts the library when no host did. Each case in a process of its own.
 * apart: no, it is about how a host starts. */
#include "check.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Registers in a child with `name` set to `value`; gives the code, and what the child wrote to
 * standard error. */
static DWORD register_with(const char *name, const char *value, char *log, size_t log_size)
{
    int err[2], code[2];
    pid_t child;
    int status = 0;
    size_t used = 0;
    ssize_t n;
    DWORD result = 0xdead;
    log[0] = 0;
    if (pipe(err) != 0 || pipe(code) != 0) {
        CHECK(!"pipe");
        return result;
    }
    fflush(stdout);
    child = fork();
    if (child == 0) {
        ROUTING_PROTOCOL_CONFIG config;
        HANDLE handle = NULL;
        DWORD got;
        memset(&config, 0, sizeof config);
        dup2(err[1], 2);
        unsetenv("MGM_LOG");
        setenv(name, value, 1);
        got = MgmRegisterMProtocol(&config, 77, 1, &handle);
        if (got != NO_ERROR && handle != NULL)
            got = 0xbad; /* rule A2 */
        if (got == NO_ERROR)
            got = MgmDeRegisterMProtocol(handle);
        _exit(write(code[1], &got, sizeof got) == (ssize_t)sizeof got ? 0 : 1);
    }
    close(err[1]);
    close(code[1]);
    while (used + 1 < log_size && (n = read(err[0], log + used, log_size - 1 - used)) > 0)
        used += (size_t)n;
    log[used] = 0;
    CHECK_EQ(read(code[0], &result, sizeof result), sizeof result);
    close(err[0]);
    close(code[0]);
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    return result;
}

static void env_values_that_work(void)
{
    char log[4096];
    CHECK_CODE(register_with("MGM_FORWARDER", "memory", log, sizeof log), NO_ERROR);
    CHECK_TEXT(log, "");
    CHECK_CODE(register_with("MGM_MAX_MFES", "1000", log, sizeof log), NO_ERROR);
    CHECK_TEXT(log, "");
    CHECK_CODE(register_with("MGM_LOG", "off", log, sizeof log), NO_ERROR);
    CHECK_TEXT(log, "");
    CHECK_CODE(register_with("MGM_LOG", "trace", log, sizeof log), NO_ERROR);
}

/* Never a silent fallback: the variable and the values it takes are named. */
static void env_values_that_make_no_sense(void)
{
    static const char *const bad[][3] = {
        {"MGM_FORWARDER", "karnel", "kernel"},   {"MGM_FORWARDER", "", "memory"},
        {"MGM_FORWARDER", "Memory", "memory"},   {"MGM_FORWARDER", "kernel:x", "kernel:"},
        {"MGM_FORWARDER", "kernel:", "kernel:"}, {"MGM_FORWARDER", "kernel:-1", "kernel:"},
        {"MGM_LOG", "verbose", "trace"},         {"MGM_LOG", "3", "warn"},
        {"MGM_MAX_MFES", "many", ""},            {"MGM_MAX_MFES", "-5", ""},
        {"MGM_MAX_MFES", "99999999999", ""},
    };
    char log[4096];
    size_t n;
    for (n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        DWORD code = register_with(bad[n][0], bad[n][1], log, sizeof log);
        if (!CHECK(code == ERROR_CAN_NOT_COMPLETE && strstr(log, bad[n][0]) != NULL &&
                   strstr(log, bad[n][2]) != NULL))
            printf("    %s=%s gave %s and logged: %s\n", bad[n][0], bad[n][1], code_name(code),
                   log);
    }
}

static void env_each_log_line_is_one_line(void)
{
    char log[4096];
    const char *p;
    register_with("MGM_FORWARDER", "karnel", log, sizeof log);
    for (p = log; *p != 0;) {
        CHECK(strncmp(p, "mgm: ", 5) == 0);
        p = strchr(p, '\n');
        if (!CHECK(p != NULL))
            break;
        p++;
    }
}

int main(void)
{
    RUN(env_values_that_work);
    RUN(env_values_that_make_no_sense);
    RUN(env_each_log_line_is_one_line);
    return check_summary();
}
