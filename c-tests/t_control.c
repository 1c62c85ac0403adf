/* The control socket, in a C process: whose SIGPIPE kills it, and whose children inherit what is
 * not closed.
 * apart: no, the control socket is the host's own. */
#include "fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[] = "/tmp/mgm-control-XXXXXX";
static char path[64];

/* Time stands still, so that two answers are the same. */
static ULONGLONG no_time(PVOID context)
{
    (void)context;
    return 0;
}

static MGM_HOST_CONFIG config_with(const char *control)
{
    MGM_HOST_CONFIG config;
    memset(&config, 0, sizeof config);
    config.dwSize = sizeof config;
    config.dwLogLevel = MGM_LOG_OFF;
    config.pszControlPath = control;
    return config;
}

static int connected(void)
{
    struct sockaddr_un address;
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path, sizeof path);
    if (client >= 0 && connect(client, (struct sockaddr *)&address, sizeof address) != 0) {
        close(client);
        client = -1;
    }
    return client;
}

/* The answer to a request, without its line end; "" where there is none. */
static char *ask(const char *request)
{
    size_t used = 0, size = 1 << 20;
    char *answer = (char *)calloc(size, 1);
    int client = connected();
    ssize_t n;
    if (answer == NULL || client < 0 || write(client, request, strlen(request)) < 0) {
        CHECK(!"asked");
        exit(1);
    }
    while (used + 1 < size && (n = read(client, answer + used, size - 1 - used)) > 0)
        used += (size_t)n;
    close(client);
    if (CHECK(used > 0 && answer[used - 1] == '\n'))
        answer[used - 1] = 0;
    return answer;
}

static void check_answer(const char *request, const char *expected)
{
    char *answer = ask(request);
    CHECK_TEXT(answer, expected);
    free(answer);
}

#define INTERFACE "{\"index\":2,\"next_hop\":\"0.0.0.0\"}"
#define NAME "\"protocol\":\"0x7fff0007\",\"protocol_number\":2147418119,\"component\":1"

static void control_answers(void)
{
    MGM_HOST_CONFIG config = config_with(path);
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE me = NULL;
    struct stat file;
    static char state[65536];
    DWORD size = sizeof state;
    char *answer;

    memset(&callbacks, 0, sizeof callbacks);
    config.pfnClock = no_time;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK(lstat(path, &file) == 0 && S_ISSOCK(file.st_mode) && (file.st_mode & 07777) == 0600);
    check_answer("clients\n", "{\"clients\":[]}");
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, PROTOCOL_ID(PROTO_TYPE_MCAST, 0x3fff, 7), 1, &me),
               NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(me, 2, 0), NO_ERROR);
    CHECK_CODE(MgmAddGroupMembershipEntry(me, 0, 0, inet_addr(G1), ALL_ONES, 2, 0, JOIN), NO_ERROR);
    check_answer("clients\n", "{\"clients\":[{" NAME ",\"igmp\":false,\"interfaces\":1,"
                              "\"uptime\":0,\"process\":null}]}");
    check_answer("interfaces\n", "{\"interfaces\":[{\"interface\":" INTERFACE ",\"owner\":{" NAME
                                 "},\"igmp\":null,\"up\":true,\"memberships\":1}]}");
    check_answer("groups\n", "{\"groups\":[{\"group\":\"" G1 "\",\"source\":\"0.0.0.0\","
                             "\"interface\":" INTERFACE ",\"client\":{" NAME "},\"igmp\":false}]}");
    check_answer("mfes\n", "{\"mfes\":[]}");
    answer = ask("state\n");
    CHECK_CODE(MgmHostGetState(&size, (PBYTE)state), NO_ERROR);
    /* Up to the time, which may go on between the two. */
    CHECK(strncmp(answer, state, (size_t)(strstr(state, "\"uptime\":") - state)) == 0);
    CHECK_TEXT(strstr(answer, "\"limits\""), strstr(state, "\"limits\""));
    free(answer);
    check_answer("quit\n", "{\"error\":\"unknown request\",\"allowed\":[\"state\",\"summary\",\"mfes\",\"groups\","
                           "\"interfaces\",\"clients\",\"counters\",\"events\"]}");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    CHECK(lstat(path, &file) != 0 && errno == ENOENT);
}

static void control_that_cannot_be_served(void)
{
    MGM_HOST_CONFIG config = config_with(path);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    struct stat before, after;
    CHECK(file >= 0 && fstat(file, &before) == 0);
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE); /* nothing runs */
    CHECK(lstat(path, &after) == 0 && after.st_ino == before.st_ino);
    close(file);
    unlink(path);
    config.pszControlPath = "/nonexistent/mgm";
    CHECK_CODE(MgmHostStart(&config), ERROR_CAN_NOT_COMPLETE);
    config.pszControlPath = path;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* A client that does not wait for its answer. */
static void control_survives_who_goes_away(void)
{
    MGM_HOST_CONFIG config = config_with(path);
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE me = NULL;
    DWORD n;
    memset(&callbacks, 0, sizeof callbacks);
    signal(SIGPIPE, SIG_DFL);
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 77, 1, &me), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(me, 2, 0), NO_ERROR);
    for (n = 0; n < 4000; n++) /* more than fits into a socket */
        MgmAddGroupMembershipEntry(me, 0, 0, htonl(0xef000000u + n), ALL_ONES, 2, 0, JOIN);
    for (n = 0; n < 5; n++) {
        char first;
        int client = connected();
        CHECK(client >= 0 && write(client, "groups\n", 7) == 7 && read(client, &first, 1) == 1);
        close(client);
        check_answer("mfes\n", "{\"mfes\":[]}");
    }
    CHECK_CODE(MgmHostStop(), NO_ERROR);
}

/* A child that runs another program holds nothing of it: the path is free when the host stops. */
static void control_is_not_inherited(void)
{
    MGM_HOST_CONFIG config = config_with(path);
    int hold[2], client, status;
    pid_t child;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK(pipe(hold) == 0);
    client = connected(); /* the library has its end open, too */
    child = fork();
    if (child == 0) {
        dup2(hold[0], 0);
        close(hold[0]);
        close(hold[1]);
        execlp("cat", "cat", (char *)NULL);
        _exit(127);
    }
    close(hold[0]);
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    if (CHECK(client >= 0)) {
        char end;
        CHECK(read(client, &end, 1) <= 0); /* nobody else has the other end */
        close(client);
    }
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    check_answer("clients\n", "{\"clients\":[]}");
    CHECK_CODE(MgmHostStop(), NO_ERROR);
    close(hold[1]);
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* The host's log may be called on the thread that serves, and may call anything. */
static int stops;
static void stop_from_log(PVOID context, DWORD level, const char *message)
{
    (void)context;
    (void)level;
    if (strstr(message, "client cut off") != NULL && MgmHostStop() == NO_ERROR)
        __atomic_add_fetch(&stops, 1, __ATOMIC_SEQ_CST);
}

static void control_thread_may_stop_the_host(void)
{
    MGM_HOST_CONFIG config = config_with(path);
    ROUTING_PROTOCOL_CONFIG callbacks;
    HANDLE me = NULL;
    struct stat file;
    DWORD n;
    int client, tries;
    char first;
    memset(&callbacks, 0, sizeof callbacks);
    config.dwLogLevel = MGM_LOG_DEBUG;
    config.pfnLog = stop_from_log;
    CHECK_CODE(MgmHostStart(&config), NO_ERROR);
    CHECK_CODE(MgmRegisterMProtocol(&callbacks, 77, 1, &me), NO_ERROR);
    CHECK_CODE(MgmTakeInterfaceOwnership(me, 2, 0), NO_ERROR);
    for (n = 0; n < 4000; n++)
        MgmAddGroupMembershipEntry(me, 0, 0, htonl(0xef000000u + n), ALL_ONES, 2, 0, JOIN);
    client = connected();
    CHECK(client >= 0 && write(client, "groups\n", 7) == 7 && read(client, &first, 1) == 1);
    close(client);
    for (tries = 0; tries < 3000 && __atomic_load_n(&stops, __ATOMIC_SEQ_CST) == 0; tries++)
        usleep(10000); /* until the state looked for, or half a minute */
    CHECK_EQ(stops, 1);
    CHECK(lstat(path, &file) != 0 && errno == ENOENT);
    CHECK_CODE(MgmHostStop(), ERROR_CAN_NOT_COMPLETE);
}

static void control_leaves_nothing_behind(void) { CHECK(rmdir(directory) == 0); }

int main(void)
{
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/mgm", directory);
    RUN(control_answers);
    RUN(control_that_cannot_be_served);
    RUN(control_survives_who_goes_away);
    RUN(control_is_not_inherited);
    RUN(control_thread_may_stop_the_host);
    RUN(control_leaves_nothing_behind);
    return check_summary();
}
