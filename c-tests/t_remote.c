/* Clients in other processes (rules P): hosts and clients are children of this process, which are made
 * before anything of the library is used; each does what octets on a pipe say.
 * matrix: C only
 * apart: no, it has hosts and clients of its own. */
#include "check.h"
#include "host.h"
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

typedef struct {
    pid_t process;
    int commands, answers;
} Child;

static char path[64];
static volatile int heard;

/* ---- in the children -------------------------------------------------------------------------- */

static HANDLE client;

static DWORD join(DWORD s, DWORD sm, DWORD g, DWORD gm, BOOL member)
{
    (void)s, (void)sm, (void)g, (void)gm, (void)member;
    heard++;
    return 0;
}

static DWORD add(DWORD interface, int group)
{
    return MgmAddGroupMembershipEntry(client, 0, 0, ip4(225, 1, 1, group), ALL_ONES, interface, 0,
                                      MGM_JOIN_STATE_FLAG);
}

static DWORD serve(void)
{
    MGM_HOST_CONFIG config = plain_host();
    config.pszServePath = path;
    return MgmHostStart(&config);
}

static DWORD enroll(DWORD protocol)
{
    ROUTING_PROTOCOL_CONFIG callbacks;
    memset(&callbacks, 0, sizeof callbacks);
    callbacks.pfnJoinAlertCallback = join;
    return MgmRegisterMProtocol(&callbacks, protocol, 1, &client);
}

/* A command is two octets: what, and a number. */
static DWORD perform(char what, int number)
{
    DWORD protocol = 0, component = 0, code;
    switch (what) {
    case 's': return serve();
    case 'r': return enroll((DWORD)number);
    case 't': return MgmTakeInterfaceOwnership(client, (DWORD)number, 0);
    case 'a': return add(1, number);
    case 'b': return add(2, number);
    case 'h': return (DWORD)heard;
    case 'd': return MgmDeRegisterMProtocol(client);
    case 'S': return MgmHostStop();
    case 'o':
        code = MgmGetProtocolOnInterface((DWORD)number, 0, &protocol, &component);
        return code == NO_ERROR ? protocol : code + 10000;
    default: return 0xdead;
    }
}

static Child child_with(const char *host)
{
    Child child;
    int to[2], from[2];
    memset(&child, 0, sizeof child);
    if (pipe(to) != 0 || pipe(from) != 0)
        exit(2);
    fflush(stdout);
    child.process = fork();
    if (child.process == 0) {
        char command[2];
        close(to[1]);
        close(from[0]);
        if (host != NULL)
            setenv("MGM_HOST", host, 1);
        setenv("MGM_LOG", "off", 1);
        alarm(120);
        while (read(to[0], command, 2) == 2) {
            DWORD answer = perform(command[0], command[1]);
            if (write(from[1], &answer, sizeof answer) != (ssize_t)sizeof answer)
                break;
        }
        _exit(0);
    }
    close(to[0]);
    close(from[1]);
    child.commands = to[1];
    child.answers = from[0];
    return child;
}

/* ---- here ------------------------------------------------------------------------------------- */

static DWORD ask(Child child, char what, int number)
{
    char command[2];
    DWORD answer = 0xbad;
    command[0] = what;
    command[1] = (char)number;
    if (write(child.commands, command, 2) != 2 ||
        read(child.answers, &answer, sizeof answer) != (ssize_t)sizeof answer)
        return 0xbad;
    return answer;
}

static void finish(Child child)
{
    close(child.commands);
    close(child.answers);
    kill(child.process, SIGKILL);
    waitpid(child.process, NULL, 0);
}

/* Polls until a child gives this answer. */
static int becomes(Child child, char what, int number, DWORD wanted)
{
    int tries;
    for (tries = 0; tries < 5000; tries++) {
        if (ask(child, what, number) == wanted)
            return 1;
        poll(NULL, 0, 2);
    }
    return 0;
}

static Child host, one, other;

static void begin(void)
{
    host = child_with(NULL);
    one = child_with(path);
    other = child_with(path);
    CHECK_CODE(ask(host, 's', 0), NO_ERROR);
    CHECK_CODE(ask(one, 'r', 1), NO_ERROR);
    CHECK_CODE(ask(other, 'r', 2), NO_ERROR);
    CHECK_CODE(ask(one, 't', 1), NO_ERROR);
    CHECK_CODE(ask(other, 't', 2), NO_ERROR);
}

static void end(void)
{
    finish(one);
    finish(other);
    finish(host);
    unlink(path);
}

static void p1_codes_and_alerts_are_those_of_one_process(void)
{
    begin();
    CHECK_CODE(ask(other, 't', 1), ERROR_ALREADY_EXISTS);
    CHECK_CODE(ask(other, 'r', 1), ERROR_ALREADY_EXISTS);
    CHECK_CODE(ask(other, 'a', 1), ERROR_INVALID_PARAMETER);
    CHECK_CODE(ask(one, 'a', 1), NO_ERROR);
    CHECK_EQ(ask(other, 'h', 0), 1); /* it has come when the call returns */
    CHECK_EQ(ask(other, 'o', 1), 1);
    CHECK_CODE(ask(one, 'd', 0), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(ask(one, 'S', 0), ERROR_CAN_NOT_COMPLETE);
    end();
}

static void p2_a_process_that_ends_leaves(void)
{
    begin();
    kill(one.process, SIGKILL);
    CHECK(becomes(other, 'o', 1, ERROR_NOT_FOUND + 10000));
    CHECK_CODE(ask(other, 't', 1), NO_ERROR);
    end();
}

static void p3_a_held_client_is_taken_up(void)
{
    Child again;
    setenv("MGM_HOLD", "60", 1);
    setenv("MGM_SERVE", path, 1);
    host = child_with(NULL);
    unsetenv("MGM_HOLD");
    unsetenv("MGM_SERVE");
    one = child_with(path);
    again = child_with(path);
    CHECK_CODE(ask(host, 'r', 9), NO_ERROR); /* starts from the environment */
    CHECK_CODE(ask(one, 'r', 1), NO_ERROR);
    CHECK_CODE(ask(one, 't', 1), NO_ERROR);
    CHECK_CODE(ask(one, 'a', 1), NO_ERROR);
    kill(one.process, SIGKILL);
    waitpid(one.process, NULL, 0);
    /* Registered again as soon as its process is seen to have gone. */
    CHECK(becomes(again, 'r', 1, NO_ERROR));
    CHECK_EQ(ask(host, 'o', 1), 1);
    CHECK_CODE(ask(again, 't', 1), NO_ERROR);
    CHECK_CODE(ask(again, 't', 1), ERROR_ALREADY_EXISTS);
    CHECK_CODE(ask(again, 'a', 1), NO_ERROR);
    CHECK_EQ(ask(host, 'h', 0), 1); /* of the first time alone */
    other = again;
    end();
}

static void p4_a_stopped_process_is_waited_for_once(void)
{
    int n;
    begin();
    kill(one.process, SIGSTOP);
    /* The first waits for 5 s; 20 that waited would take longer than alarm() allows the child. */
    for (n = 1; n < 40; n++)
        CHECK_CODE(ask(other, 'b', n), NO_ERROR);
    kill(one.process, SIGCONT);
    CHECK(becomes(one, 'h', 0, 39));
    end();
}

static void p5_calls_fail_when_the_host_has_gone(void)
{
    begin();
    kill(host.process, SIGKILL);
    waitpid(host.process, NULL, 0);
    CHECK_CODE(ask(one, 't', 5), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(ask(one, 'a', 5), ERROR_CAN_NOT_COMPLETE);
    CHECK_CODE(ask(one, 'r', 1), ERROR_CAN_NOT_COMPLETE);
    close(host.commands);
    close(host.answers);
    host = child_with(NULL);
    CHECK_CODE(ask(host, 's', 0), NO_ERROR);
    CHECK_CODE(ask(one, 'r', 1), NO_ERROR);
    CHECK_CODE(ask(one, 't', 5), NO_ERROR);
    end();
}

static int connected(void)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, path);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void p6_nonsense_ends_its_connection_alone(void)
{
    struct stat file;
    char octets[64];
    int n;
    begin();
    CHECK_EQ(stat(path, &file), 0);
    CHECK_EQ(file.st_mode & 0777, 0660);
    for (n = 0; n < 20; n++) {
        struct pollfd polled;
        int fd = connected();
        memset(octets, n * 13, sizeof octets);
        CHECK_EQ(send(fd, octets, sizeof octets, MSG_NOSIGNAL), (long long)sizeof octets);
        polled.fd = fd;
        polled.events = POLLIN;
        CHECK_EQ(poll(&polled, 1, 20000), 1);
        CHECK(recv(fd, octets, sizeof octets, 0) <= 0);
        close(fd);
    }
    CHECK_CODE(ask(one, 'a', 1), NO_ERROR);
    CHECK_EQ(ask(other, 'h', 0), 1);
    end();
}

/* The first messages, octet by octet: they never change. The magic word 6d676d31, the oldest and the
 * newest version, and four record sizes, as numbers of seven bits an octet. */
static void p7_a_host_tells_which_versions_it_speaks(void)
{
    static const unsigned char hello[] = {0xb1, 0xda, 0x9d, 0xeb, 0x06, 50, 60, 60, 64, 84, 16};
    static const unsigned char magic[] = {0xb1, 0xda, 0x9d, 0xeb, 0x06};
    unsigned char welcome[64];
    int fd;
    begin();
    fd = connected();
    CHECK_EQ(send(fd, hello, sizeof hello, MSG_NOSIGNAL), (long long)sizeof hello);
    CHECK(recv(fd, welcome, sizeof welcome, 0) >= 8);
    CHECK(memcmp(welcome, magic, sizeof magic) == 0);
    CHECK_EQ(welcome[5], 3);
    CHECK_EQ(welcome[6], 3);
    CHECK_EQ(welcome[7], 0); /* none of those */
    CHECK(recv(fd, welcome, sizeof welcome, 0) <= 0);
    close(fd);
    CHECK_CODE(ask(one, 'a', 1), NO_ERROR);
    end();
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    snprintf(path, sizeof path, "/tmp/mgm-t-remote-%d", (int)getpid());
    RUN(p1_codes_and_alerts_are_those_of_one_process);
    RUN(p2_a_process_that_ends_leaves);
    RUN(p3_a_held_client_is_taken_up);
    RUN(p4_a_stopped_process_is_waited_for_once);
    RUN(p5_calls_fail_when_the_host_has_gone);
    RUN(p6_nonsense_ends_its_connection_alone);
    RUN(p7_a_host_tells_which_versions_it_speaks);
    return check_summary();
}
