/* MgmHostStart and the environment (MGM_HOST_USE_ENVIRONMENT), the warning that nobody chose the memory
 * forwarder, and starts that fail: each has one line in one log.
 * apart: no, it is about how a host starts. */
#include "host.h"
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static const char *const variables[] = {"MGM_FORWARDER", "MGM_LOG", "MGM_MAX_MFES", "MGM_CONTROL"};

static void clear_environment(void)
{
    size_t n;
    for (n = 0; n < sizeof variables / sizeof variables[0]; n++)
        unsetenv(variables[n]);
}

/* ---- the host's log ---------------------------------------------------------------------------- */

static char told[4096];    /* a line each, with its level before it */
static int told_lines;

static void on_log(PVOID context, DWORD level, const char *message)
{
    size_t used = strlen(told);
    CHECK(context == &told_lines);
    snprintf(told + used, sizeof told - used, "%u %s\n", (unsigned)level, message);
    told_lines++;
}

static void forget(void)
{
    told[0] = 0;
    told_lines = 0;
}

static MGM_HOST_CONFIG with_log(void)
{
    MGM_HOST_CONFIG config = plain_host();
    config.dwLogLevel = MGM_LOG_DEFAULT;
    config.pfnLog = on_log;
    config.pvContext = &told_lines;
    forget();
    return config;
}

static MGM_HOST_CONFIG from_environment(void)
{
    MGM_HOST_CONFIG config = with_log();
    config.dwFlags = MGM_HOST_USE_ENVIRONMENT;
    return config;
}

/* The state's number behind "name":, or ~0. */
static unsigned state_number(const char *name)
{
    static char text[1 << 16];
    DWORD size = sizeof text;
    const char *at;
    CHECK_CODE(MgmHostGetState(&size, (PBYTE)text), NO_ERROR);
    at = strstr(text, name);
    return at == NULL ? ~0u : (unsigned)strtoul(at + strlen(name), NULL, 10);
}

/* ---- what the fields leave out comes from the environment -------------------------------------- */

static void the_environment_fills_in_what_is_0(void)
{
    MGM_HOST_CONFIG config;
    char path[] = "/tmp/mgm-hostenv.XXXXXX", socket_path[64];
    struct stat file;
    CHECK(mkdtemp(path) != NULL);
    snprintf(socket_path, sizeof socket_path, "%s/control", path);
    clear_environment();
    setenv("MGM_FORWARDER", "memory", 1);
    setenv("MGM_LOG", "info", 1);
    setenv("MGM_MAX_MFES", "77", 1);
    setenv("MGM_CONTROL", socket_path, 1);
    config = from_environment();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_EQ(state_number("\"max_mfes\":"), 77);
    CHECK(stat(socket_path, &file) == 0);
    CHECK(strstr(told, "3 started with the memory forwarder\n") != NULL);
    CHECK(strstr(told, "\n2 ") == NULL && told[0] != '2'); /* no warning: it was chosen */
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK(stat(socket_path, &file) != 0);
    rmdir(path);
    clear_environment();
}

/* A field that is set counts, and its variable is not even looked at. */
static void fields_come_before_variables(void)
{
    MGM_HOST_CONFIG config = from_environment();
    char path[] = "/tmp/mgm-hostenv.XXXXXX", socket_path[64];
    CHECK(mkdtemp(path) != NULL);
    snprintf(socket_path, sizeof socket_path, "%s/control", path);
    setenv("MGM_MAX_MFES", "none", 1);
    setenv("MGM_LOG", "loud", 1);
    setenv("MGM_CONTROL", "", 1);
    setenv("MGM_FORWARDER", "karnel", 1);
    config.dwMaxMfes = 55;
    config.dwLogLevel = MGM_LOG_ERROR;
    config.pszControlPath = socket_path;
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    config.dwMulticastSocket = 1000000; /* there is no such descriptor */
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    CHECK(strstr(told, "handed over") != NULL && strstr(told, "MGM_") == NULL);
    CHECK_EQ(told_lines, 1);
    config.dwForwarder = MGM_FORWARDER_MEMORY;
    config.dwMulticastSocket = 0;
    setenv("MGM_FORWARDER", "memory", 1);
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_EQ(state_number("\"max_mfes\":"), 55);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    rmdir(path);
    clear_environment();
}

/* Without the flag nothing of it is looked at. */
static void without_the_flag_the_environment_is_ignored(void)
{
    MGM_HOST_CONFIG config = with_log();
    size_t n;
    for (n = 0; n < sizeof variables / sizeof variables[0]; n++)
        setenv(variables[n], "nonsense\001", 1);
    config.dwLogLevel = MGM_LOG_TRACE;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK(strstr(told, "MGM_") == NULL);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    clear_environment();
}

/* Each variable whose field is 0 is looked at, and one that makes no sense is no silent default. */
static void variables_that_make_no_sense(void)
{
    size_t n;
    for (n = 0; n < sizeof variables / sizeof variables[0]; n++) {
        MGM_HOST_CONFIG config = from_environment();
        const char *value = strcmp(variables[n], "MGM_CONTROL") == 0 ? "" : "nonsense";
        setenv(variables[n], value, 1);
        keep_errors();
        CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
        CHECK_TEXT(kept_errors(), "");
        CHECK_EQ(told_lines, 1);
        CHECK(strncmp(told, "1 MgmHostStart: ERROR_CAN_NOT_COMPLETE: ", 40) == 0);
        CHECK(strstr(told, variables[n]) != NULL && strstr(told, "allowed: ") != NULL);
        clear_environment();
    }
}

static void the_kernel_from_the_environment(void)
{
    MGM_HOST_CONFIG config = from_environment();
    MGM_HOST_FORWARDER table;
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;
    setenv("MGM_FORWARDER", "kernel:7", 1);
    config.dwMulticastSocket = 1000000;
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE); /* the kernel's field is for it */
    CHECK(strstr(told, "handed over") != NULL);
    CHECK_EQ(told_lines, 1);
    /* A custom plane is the program's, whatever the environment says. */
    config = from_environment();
    config.pForwarder = &table;
    CHECK_CODE(MgmHostStart(&config), ERROR_INVALID_PARAMETER);
    CHECK(strstr(told, "dwForwarder") != NULL);
    clear_environment();
}

static void unknown_flags(void)
{
    MGM_HOST_CONFIG config = from_environment();
    config.dwFlags = MGM_HOST_USE_ENVIRONMENT | 2;
    CHECK_CODE(MgmHostStart(&config), ERROR_INVALID_PARAMETER);
    CHECK(strstr(told, "dwFlags = 0x3; allowed: 0 or MGM_HOST_USE_ENVIRONMENT (1)") != NULL);
}

/* ---- the memory forwarder by default ----------------------------------------------------------- */

static const char *const WARNING = "MGM_FORWARDER is not set";

static void transmit(PVOID context, DWORD index, DWORD next_hop, const BYTE *packet, DWORD size)
{
    (void)context, (void)index, (void)next_hop, (void)packet, (void)size;
}

/* The lines of standard error while a client registers and leaves with MGM_LOG=warn. */
static const char *lines_of_a_registration(void)
{
    ROUTING_PROTOCOL_CONFIG none;
    HANDLE client = NULL;
    memset(&none, 0, sizeof none);
    setenv("MGM_LOG", "warn", 1);
    keep_errors();
    CHECK_CODE(MgmRegisterMProtocol(&none, 1, 1, &client), NO_ERROR);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    return kept_errors();
}

static void nobody_chose_the_memory_forwarder(void)
{
    MGM_HOST_CONFIG config;
    const char *lines;
    clear_environment();
    lines = lines_of_a_registration();
    CHECK(strncmp(lines, "mgm: warn: ", 11) == 0 && strstr(lines, WARNING) != NULL);
    CHECK(strstr(lines, "carries no packet") != NULL && strstr(lines, "kernel:TABLE") != NULL);
    CHECK(strchr(lines, '\n') == lines + strlen(lines) - 1); /* one line */
    setenv("MGM_FORWARDER", "memory", 1);
    CHECK_TEXT(lines_of_a_registration(), "");
    clear_environment();

    /* The same for a host that goes by the environment, but not where it sends packets itself. */
    config = from_environment();
    config.dwLogLevel = MGM_LOG_WARN;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK(told_lines == 1 && strncmp(told, "2 MGM_FORWARDER is not set", 26) == 0);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    config = from_environment();
    config.dwLogLevel = MGM_LOG_WARN;
    config.pfnTransmit = transmit;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK_EQ(told_lines, 0);
    /* A host that does not has chosen. */
    config = with_log();
    config.dwLogLevel = MGM_LOG_WARN;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK_EQ(told_lines, 0);
}

/* ---- starts that fail -------------------------------------------------------------------------- */

/* The start fails with one line: in the host's log if it has one, else on standard error. */
static void fails_with_one_line(MGM_HOST_CONFIG config, DWORD code, const char *reason)
{
    const char *errors_told;
    config.pfnLog = NULL;
    keep_errors();
    CHECK_CODE(MgmHostStart(&config), code);
    errors_told = kept_errors();
    if (!CHECK(strncmp(errors_told, "mgm: error: MgmHostStart: ERROR_", 32) == 0 &&
               strstr(errors_told, reason) != NULL &&
               strchr(errors_told, '\n') == errors_told + strlen(errors_told) - 1))
        printf("  %s: %s", reason, errors_told);

    config.pfnLog = on_log;
    config.pvContext = &told_lines;
    config.dwLogLevel = config.dwLogLevel == MGM_LOG_OFF ? MGM_LOG_DEFAULT : config.dwLogLevel;
    forget();
    keep_errors();
    CHECK_CODE(MgmHostStart(&config), code);
    CHECK_TEXT(kept_errors(), "");
    if (!CHECK(told_lines == 1 && strncmp(told, "1 MgmHostStart: ERROR_", 22) == 0 &&
               strstr(told, reason) != NULL))
        printf("  %s: %s", reason, told);

    /* A host that wants no log has none. */
    if (strcmp(reason, "dwLogLevel") != 0) {
        config.dwLogLevel = MGM_LOG_OFF;
        forget();
        CHECK_CODE(MgmHostStart(&config), code);
        CHECK_EQ(told_lines, 0);
    }
}

static void a_start_that_fails_has_one_line(void)
{
    MGM_HOST_CONFIG config = plain_host();
    MGM_HOST_FORWARDER table;
    char path[] = "/tmp/mgm-hostenv.XXXXXX";
    struct sockaddr_un address;
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    memset(&table, 0, sizeof table);
    table.dwSize = (DWORD)sizeof table;

    config.dwTableId = 1;
    fails_with_one_line(config, ERROR_INVALID_PARAMETER, "dwTableId");
    config = plain_host();
    config.dwLogLevel = 9;
    fails_with_one_line(config, ERROR_INVALID_PARAMETER, "dwLogLevel");
    config = plain_host();
    config.pszControlPath = "";
    fails_with_one_line(config, ERROR_INVALID_PARAMETER, "pszControlPath");
    config = plain_host();
    config.dwForwarder = MGM_FORWARDER_CUSTOM;
    config.pForwarder = &table;
    fails_with_one_line(config, ERROR_INVALID_PARAMETER, "pfnSetMfe");
    config = plain_host();
    config.dwForwarder = MGM_FORWARDER_KERNEL;
    config.dwMulticastSocket = 1000000;
    fails_with_one_line(config, ERROR_CAN_NOT_COMPLETE, "handed over");

    /* The control socket: a directory that is not there, a file that is none, another's socket. */
    config = plain_host();
    config.pszControlPath = "/no/such/directory/control";
    fails_with_one_line(config, ERROR_CAN_NOT_COMPLETE, "\"/no/such/directory/control\"");
    config.pszControlPath = "/dev/null";
    fails_with_one_line(config, ERROR_CAN_NOT_COMPLETE, "no socket");
    CHECK(mkdtemp(path) != NULL);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", path);
    CHECK(bind(other, (struct sockaddr *)&address, sizeof address) == 0 && listen(other, 1) == 0);
    config.pszControlPath = address.sun_path;
    fails_with_one_line(config, ERROR_CAN_NOT_COMPLETE, "another process");
    close(other);
    unlink(address.sun_path);
    rmdir(path);
}

/* It is the running host's log that hears of a second start. */
static void a_second_start_has_one_line(void)
{
    MGM_HOST_CONFIG config = with_log(), second = plain_host();
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    keep_errors();
    CHECK_CODE(MgmHostStart(&second), ERROR_ALREADY_EXISTS);
    CHECK_TEXT(kept_errors(), "");
    CHECK_EQ(told_lines, 1);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* The same for a registration that has to start the library. */
static void a_registration_that_fails_has_one_line(void)
{
    ROUTING_PROTOCOL_CONFIG none;
    HANDLE client = NULL;
    const char *lines;
    memset(&none, 0, sizeof none);
    setenv("MGM_CONTROL", "/no/such/directory/control", 1);
    keep_errors();
    CHECK_CODE(MgmRegisterMProtocol(&none, 1, 1, &client), ERROR_CAN_NOT_COMPLETE);
    lines = kept_errors();
    CHECK(client == NULL && strstr(lines, "/no/such/directory/control") != NULL);
    CHECK(strchr(lines, '\n') == lines + strlen(lines) - 1);
    clear_environment();
}

int main(void)
{
    clear_environment();
    RUN(the_environment_fills_in_what_is_0);
    RUN(fields_come_before_variables);
    RUN(without_the_flag_the_environment_is_ignored);
    RUN(variables_that_make_no_sense);
    RUN(the_kernel_from_the_environment);
    RUN(unknown_flags);
    RUN(nobody_chose_the_memory_forwarder);
    RUN(a_start_that_fails_has_one_line);
    RUN(a_second_start_has_one_line);
    RUN(a_registration_that_fails_has_one_line);
    return check_summary();
}
