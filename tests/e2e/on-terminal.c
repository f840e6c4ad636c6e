/*
 * Runs a program on a terminal of its own and answers its questions, one answer for each text that ends
 * with ": ": on-terminal ANSWER... -- PROGRAM [ARGUMENT]... Shows what the terminal showed; the exit
 * status is that of the program, 99 when it asked for more than was given.
 */
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int first = 1, next = 1, master, status = 0;
    while (first < argc && strcmp(argv[first], "--") != 0)
        first++;
    if (first + 1 >= argc)
        return 2;
    pid_t pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0) {
        execv(argv[first + 1], argv + first + 1);
        _exit(127);
    }
    char last[2] = "";
    for (char c; pid > 0 && read(master, &c, 1) == 1;) {
        putchar(c);
        last[0] = last[1];
        last[1] = c;
        if (last[0] != ':' || last[1] != ' ' || next > first)
            continue;
        /* The program may say more on the line: a question is what nothing follows. */
        struct pollfd more = {.fd = master, .events = POLLIN};
        if (poll(&more, 1, 300) != 0)
            continue;
        const char *answer = next < first ? argv[next] : "\4";
        next++;
        if (write(master, answer, strlen(answer)) < 0 || write(master, "\r", 1) < 0)
            break;
    }
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return 2;
    return next > first ? 99 : WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}
