/* service: plays systemd's part for one daemon. Starts it, keeps the descriptors that it gives away
 * (FDSTORE=1), prints what else it says, and starts it again with these descriptors when a signal has
 * ended it:
 *
 *     service COMMAND...
 *
 *     started PID          a start, the first or a later one
 *     says READY=1         a line that the daemon sent
 *     keeps NAME           a descriptor has come to the store
 *     ended                it ended by itself, and so does this
 *
 * SIGTERM is passed on. Its socket is in /run. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4, FIRST = 3 /* SD_LISTEN_FDS_START */ };

static int kept[MOST], kept_count;
static char names[MOST][64];
static sigset_t signals;

static void fatal(const char *what)
{
    fprintf(stderr, "service: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void number(const char *variable, long value)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", value);
    setenv(variable, text, 1);
}

static pid_t start(char **command)
{
    pid_t child = fork();
    if (child < 0)
        fatal("fork");
    if (child == 0) {
        char list[MOST * 64] = "";
        int n, copies[MOST];
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
        sigprocmask(SIG_UNBLOCK, &signals, NULL);
        for (n = 0; n < kept_count; n++) { /* out of the way first */
            copies[n] = fcntl(kept[n], F_DUPFD_CLOEXEC, FIRST + MOST);
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", n ? ":" : "", names[n]);
        }
        for (n = 0; n < kept_count; n++)
            if (copies[n] < 0 || dup2(copies[n], FIRST + n) < 0)
                _exit(127);
        number("FDSTORE", MOST);
        if (kept_count > 0) {
            number("LISTEN_PID", (long)getpid());
            number("LISTEN_FDS", kept_count);
            setenv("LISTEN_FDNAMES", list, 1);
        }
        execvp(command[0], command);
        fprintf(stderr, "service: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    printf("started %d\n", (int)child);
    return child;
}

static void keep(int fd, const char *name)
{
    if (kept_count == MOST) {
        close(fd);
        return;
    }
    snprintf(names[kept_count], sizeof names[0], "%.63s", name);
    kept[kept_count++] = fd;
    printf("keeps %s\n", name);
}

/* One datagram of sd_notify(3): lines, and with FDSTORE=1 a descriptor. */
static void hear(int notify)
{
    char text[4096], *line, *rest;
    union {
        char bytes[CMSG_SPACE(MOST * sizeof(int))];
        struct cmsghdr aligned;
    } control;
    struct iovec into;
    struct msghdr m;
    struct cmsghdr *c;
    const char *name = "stored";
    int stores = 0, fd = -1;
    ssize_t length;
    into.iov_base = text;
    into.iov_len = sizeof text - 1;
    memset(&m, 0, sizeof m);
    m.msg_iov = &into;
    m.msg_iovlen = 1;
    m.msg_control = control.bytes;
    m.msg_controllen = sizeof control.bytes;
    length = recvmsg(notify, &m, MSG_CMSG_CLOEXEC);
    if (length < 0)
        fatal("recvmsg");
    text[length] = 0;
    for (c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof fd);
    for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (strcmp(line, "FDSTORE=1") == 0)
            stores = 1;
        else if (strncmp(line, "FDNAME=", 7) == 0)
            name = line + 7;
        else
            printf("says %s\n", line);
    }
    if (stores && fd >= 0)
        keep(fd, name);
}

int main(int argc, char **argv)
{
    struct sockaddr_un at;
    struct pollfd waits[2];
    pid_t child;
    if (argc < 2) {
        fprintf(stderr, "usage: service COMMAND...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    memset(&at, 0, sizeof at);
    at.sun_family = AF_UNIX;
    snprintf(at.sun_path, sizeof at.sun_path, "/run/mgm-service-%d", (int)getpid());
    setenv("NOTIFY_SOCKET", at.sun_path, 1);
    waits[0].fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (waits[0].fd < 0 || bind(waits[0].fd, (struct sockaddr *)&at, sizeof at) != 0)
        fatal(at.sun_path);
    waits[1].fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (waits[1].fd < 0)
        fatal("signalfd");
    waits[0].events = waits[1].events = POLLIN;
    child = start(argv + 1);
    for (;;) {
        struct signalfd_siginfo got;
        int status;
        if (poll(waits, 2, -1) < 0 && errno != EINTR)
            fatal("poll");
        if (waits[0].revents & POLLIN)
            hear(waits[0].fd);
        if (!(waits[1].revents & POLLIN) || read(waits[1].fd, &got, sizeof got) != (ssize_t)sizeof got)
            continue;
        if (got.ssi_signo == SIGTERM) {
            kill(child, SIGTERM);
        } else if (waitpid(child, &status, WNOHANG) == child) {
            if (WIFEXITED(status)) {
                while (poll(waits, 1, 0) == 1)
                    hear(waits[0].fd);
                printf("ended\n");
                unlink(at.sun_path);
                return WEXITSTATUS(status);
            }
            child = start(argv + 1);
        }
    }
}
