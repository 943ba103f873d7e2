/* multissh-load: plays many machines against a hub on this host. Owns the command line, the processes and the end. */
#include "load.h"

#include "agent/join_code.h"
#include "agent/process.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/names.h"
#include "load_report.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_USAGE 2
#define LOOK_MS 100
#define END_MS 20000          /* for the processes, then they are killed */
#define A_PROCESS_AGENTS 8000 /* by itself, the load maker gives a process no more */

#define AT(field) offsetof(struct load_options, field)
#define HOUR 3600000LL

const struct option load_options_table[] = {
    {"agents", OPTION_UINT, AT(agents), 1, LOAD_AGENTS_MAX, "100", NULL, NULL, "How many machines", false},
    {"rate", OPTION_UINT, AT(rate), 0, LOAD_AGENTS_MAX, "500", "a second", NULL,
     "How many of them come for the first time in a second; 0: all at once", false},
    {"for", OPTION_DURATION, AT(for_ms), 1000, 24 * HOUR, "10m", NULL, NULL, "When it ends by itself", false},
    {"until-there", OPTION_BOOL, AT(until_there), 0, 1, "no", NULL, NULL, "Ends as soon as all are online",
     false},
    {"processes", OPTION_UINT, AT(processes), 0, LOAD_PROCESSES_MAX, "0", NULL, NULL,
     "Processes that they are dealt out to; 0: as many as are needed", false},
    {"state", OPTION_STRING, AT(state), 0, 3000, NULL, "DIR", NULL,
     "Where each machine has a folder with its key; a later run with it plays the same machines. Without it "
     "a "
     "folder in /dev/shm that is removed at the end",
     false},
    {"names", OPTION_STRING, AT(names), 0, 40, "m", "PREFIX", NULL,
     "What their names begin with, before a number", false},
    {"first", OPTION_UINT, AT(first), 1, 1000000, "1", NULL, NULL, "The first one's number", false},
    {"sources", OPTION_UINT, AT(sources), 1, LOAD_AGENTS_MAX, "100000", "addresses", NULL,
     "Addresses that they come from, in a row from 127.64.0.1; with fewer than machines several share one",
     false},
    {"ssh", OPTION_STRING, AT(ssh), 0, 260, NULL, "ADDR:PORT", NULL,
     "The SSH server that users reach on all of them; without it 127.0.0.1:22", false},
    {"users", OPTION_UINT, AT(users), 0, LOAD_USERS_MAX, "0", NULL, NULL,
     "How many users: each a stock ssh with a jump to a machine, that stands still; they come when all "
     "machines "
     "are online",
     false},
    {"user-rate", OPTION_UINT, AT(user_rate), 1, 1000, "10", "a second", NULL,
     "How many of them come in a second", false},
    {"ssh-config", OPTION_STRING, AT(ssh_config), 0, 3000, NULL, "FILE", NULL,
     "The users' ssh_config: key and known hosts for the host `hub`; where that is, the load maker says",
     false},
    {"every", OPTION_DURATION, AT(every_ms), 100, HOUR, "2s", NULL, NULL, "How often it says how far it is",
     false},
    {"json", OPTION_BOOL, AT(json), 0, 1, "no", NULL, NULL,
     "Says it as JSON objects on standard output, a line each", false},
    {"log-level", OPTION_ENUM, AT(log_level), 0, 0, "warn", NULL, "error|warn|info|debug",
     "Which of the agents' log lines are shown, five in ten seconds of each process", false},
};
const size_t load_options_count = sizeof load_options_table / sizeof load_options_table[0];

struct load {
    struct load_options opt;
    const char *target;
    struct load_table *table;
    pid_t pid[LOAD_PROCESSES_MAX + 1]; /* the users' behind the agents'; 0: has ended, or there is none */
    unsigned running, failed;
    int end_fd; /* closing it ends the processes */
    int signal_fd;
    uint64_t started, ends;
    bool own_state, there, connected, ending, told; /* connected: the users */
};

static void help(FILE *to)
{
    fprintf(to, "usage: multissh-load [OPTION]... 127.x.x.x:PORT/CODE\n"
                "\n"
                "Plays many machines against a multiSSH hub on this host, to see what it can carry: real "
                "agents (their\n"
                "uplink, TLS, hello, pings and backoff), many in a process, each with a key, a name and a "
                "loopback address of\n"
                "its own. What `multissh-hub invite --uses N` prints says where the hub is and lets them in. "
                "It goes nowhere\n"
                "but to loopback.\n"
                "\n"
                "SIGINT and SIGTERM end it: every machine says goodbye. SIGUSR1 begins the counting anew: "
                "tries, admissions,\n"
                "losses, and the times of the first ones. The exit status is 0 when in the end all are "
                "online, else 1; 2 when\n"
                "it was not understood.\n"
                "\n");
    options_help(load_options_table, load_options_count, to);
}

/* --- before it runs --- */

static int check_target(const char *target, struct errmsg *err)
{
    struct join_code code;
    struct in_addr at;
    int r = join_code_parse(target, &code, err);
    if (r == 0 && (inet_pton(AF_INET, code.hub.host, &at) != 1 || ntohl(at.s_addr) >> 24 != 127))
        r = errmsg_set(err, -EINVAL,
                       "'%s' is no address of this host's loopback: a load is made for a hub at 127.x.x.x "
                       "(multissh-hub --listen 127.0.0.1:PORT --public 127.0.0.1:PORT) and for no other",
                       code.hub.host);
    crypto_wipe(&code, sizeof code);
    return r;
}

static int check_names(const struct load_options *opt, struct errmsg *err)
{
    char name[64];
    snprintf(name, sizeof name, "%s00001", opt->names);
    if (names_machine_ok(name))
        return 0;
    return errmsg_set(
        err, -EINVAL,
        "names: '%s' cannot begin a machine's name: letters, digits, '-' and '_', the first one "
        "a letter or a digit",
        opt->names);
}

void load_name(const struct load_options *opt, uint64_t number, char out[LOAD_NAME_MAX])
{
    snprintf(out, LOAD_NAME_MAX, "%s%05llu", opt->names, (unsigned long long)(opt->first + number));
}

static int check_users(const struct load_options *opt, struct errmsg *err)
{
    if (opt->users > 0 && (opt->ssh_config == NULL || access(opt->ssh_config, R_OK) != 0))
        return errmsg_set(
            err, -EINVAL,
            "ssh-config: %s: users need a file that says with which key they come to the host `hub`",
            opt->ssh_config == NULL ? "not given" : strerror(errno));
    return 0;
}

/* How many agents a process can have, by the limit of open files. */
static int deal(struct load_options *opt, struct errmsg *err)
{
    struct rlimit files;
    uint64_t fit, wanted = opt->processes;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return errmsg_set(err, -errno, "cannot read the limit of open files: %s", strerror(errno));
    fit = files.rlim_cur > LOAD_SPARE_FILES ? (uint64_t)files.rlim_cur - LOAD_SPARE_FILES : 0;
    if (fit == 0)
        return errmsg_set(err, -EMFILE,
                          "the limit of open files is %llu, and %d are needed for more than agents: raise it "
                          "with `ulimit -n`",
                          (unsigned long long)files.rlim_cur, LOAD_SPARE_FILES);
    if (wanted == 0) {
        uint64_t each = fit < A_PROCESS_AGENTS ? fit : A_PROCESS_AGENTS;
        wanted = (opt->agents + each - 1) / each;
    }
    if (wanted > opt->agents)
        wanted = opt->agents;
    if (2 * opt->users > fit)
        return errmsg_set(
            err, -EMFILE,
            "%llu users need %llu descriptors, and the limit of open files is %llu: raise it with "
            "`ulimit -n`",
            (unsigned long long)opt->users, (unsigned long long)(2 * opt->users + LOAD_SPARE_FILES),
            (unsigned long long)files.rlim_cur);
    if (wanted > LOAD_PROCESSES_MAX || (opt->agents + wanted - 1) / wanted > fit)
        return errmsg_set(
            err, -EMFILE,
            "%llu agents in %llu processes are more than the limit of open files lets be (%llu a process): "
            "raise it with `ulimit -n`, or choose more --processes (at most %d)",
            (unsigned long long)opt->agents, (unsigned long long)wanted, (unsigned long long)files.rlim_cur,
            LOAD_PROCESSES_MAX);
    opt->processes = wanted;
    return 0;
}

static int make_state(struct load *l, struct errmsg *err)
{
    char path[] = "/dev/shm/multissh-load-XXXXXX";
    if (l->opt.state != NULL) {
        int r = fs_mkdir_private(l->opt.state);
        return r == 0 ? 0 : errmsg_set(err, r, "cannot make the folder %s: %s", l->opt.state, strerror(-r));
    }
    if (mkdtemp(path) == NULL)
        return errmsg_set(err, -errno, "cannot make a folder in /dev/shm: %s (choose one with --state)",
                          strerror(errno));
    l->opt.state = strdup(path);
    l->own_state = l->opt.state != NULL;
    return l->own_state ? 0 : errmsg_set(err, -ENOMEM, "out of memory");
}

static int make_table(struct load *l, struct errmsg *err)
{
    size_t size = sizeof *l->table + l->opt.agents * sizeof l->table->agent[0];
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return errmsg_set(err, -errno, "out of memory");
    l->table = p;
    atomic_store(&l->table->marked_at, clock_now_ms());
    return 0;
}

/* --- the processes --- */

static void be_process(struct load *l, const struct load_part *part, const sigset_t *before)
{
    close(l->end_fd);
    close(l->signal_fd);
    signal(SIGINT, SIG_IGN); /* of the terminal: it is the first process that ends the others */
    sigprocmask(SIG_SETMASK, before, NULL);
    exit(part->users ? load_users_run(part) : load_fleet_run(part));
}

static int start_process(struct load *l, struct load_part *part, const sigset_t *before, struct errmsg *err)
{
    pid_t pid = fork();
    if (pid == 0)
        be_process(l, part, before);
    if (pid < 0)
        return errmsg_set(err, -errno, "cannot start a process: %s", strerror(errno));
    l->pid[part->process] = pid;
    l->running++;
    part->process++;
    part->first += part->n;
    return 0;
}

static int start_signals(struct load *l, sigset_t *ret_before, struct errmsg *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, ret_before);
    l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return l->signal_fd >= 0 ? 0 : errmsg_set(err, -errno, "cannot wait for signals: %s", strerror(errno));
}

static int start_processes(struct load *l, struct errmsg *err)
{
    const struct load_options *opt = &l->opt;
    sigset_t before;
    int ends[2], r = start_signals(l, &before, err);
    if (r != 0)
        return r;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errmsg_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    l->end_fd = ends[1];
    struct load_part part = {.opt = opt, .target = l->target, .table = l->table, .end_fd = ends[0]};
    part.rate = (opt->rate + opt->processes - 1) / opt->processes; /* 0 stays 0 */
    part.stays = !l->own_state;
    while (r == 0 && part.process < opt->processes) {
        part.n = opt->agents / opt->processes + (part.process < opt->agents % opt->processes);
        r = start_process(l, &part, &before, err);
    }
    if (r == 0 && opt->users > 0) {
        part.users = true;
        part.n = opt->users;
        part.rate = opt->user_rate;
        r = start_process(l, &part, &before, err);
    }
    close(ends[0]);
    return r;
}

static void end_processes(struct load *l)
{
    if (l->ending)
        return;
    l->ending = true;
    l->ends = clock_now_ms() + END_MS;
    close(l->end_fd);
}

static void reap(struct load *l)
{
    int status;
    for (unsigned i = 0; i <= l->opt.processes; i++) {
        if (l->pid[i] == 0 || waitpid(l->pid[i], &status, WNOHANG) != l->pid[i])
            continue;
        const struct load_process_row *row = &l->table->process[i];
        l->running--;
        if (atomic_load(&row->failed))
            fprintf(stderr, "multissh-load: process %ld: %s\n", (long)l->pid[i], row->words);
        else if (WIFSIGNALED(status))
            fprintf(stderr, "multissh-load: process %ld was ended by signal %d\n", (long)l->pid[i],
                    WTERMSIG(status));
        else if (WEXITSTATUS(status) != 0 || !l->ending)
            fprintf(stderr, "multissh-load: process %ld ended with status %d\n", (long)l->pid[i],
                    WEXITSTATUS(status));
        if (!l->ending || status != 0)
            l->failed++;
        l->pid[i] = 0;
    }
    if (l->failed > 0)
        end_processes(l);
}

/* --- while it runs --- */

static void say(const struct load *l, const char *event)
{
    struct load_counts c;
    char words[600];
    if (l->opt.json) {
        load_report_json(&l->opt, l->table, event);
        return;
    }
    load_report_count(&l->opt, l->table, &c);
    load_report_words(&l->opt, &c, words, sizeof words);
    fprintf(stderr, "multissh-load: %llu s: %s; %llu tries, %llu admitted, %llu lost\n",
            (unsigned long long)((clock_now_ms() - l->started) / 1000), words, (unsigned long long)c.tries,
            (unsigned long long)c.admissions, (unsigned long long)c.losses);
}

static void take_signals(struct load *l)
{
    struct signalfd_siginfo info;
    while (read(l->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD) {
            reap(l);
        } else if (info.ssi_signo == SIGUSR1) {
            atomic_store(&l->table->marked_at, clock_now_ms());
            atomic_fetch_add(&l->table->mark, 1);
            say(l, "mark");
        } else {
            l->told = true;
        }
    }
}

static void look(struct load *l)
{
    struct load_counts c;
    load_report_count(&l->opt, l->table, &c);
    bool there = c.state[LOAD_ADMITTED] == l->opt.agents;
    if (there != l->there)
        say(l, there ? "there" : "lost");
    l->there = there;
    bool connected = c.users_connected == l->opt.users;
    if (l->opt.users > 0 && connected && !l->connected)
        say(l, "users");
    l->connected = connected;
    if (l->told || clock_now_ms() >= l->ends || (there && connected && l->opt.until_there)) {
        say(l, "end");
        end_processes(l);
    }
}

static void watch(struct load *l)
{
    struct pollfd p = {.fd = l->signal_fd, .events = POLLIN};
    uint64_t next = l->started + l->opt.every_ms;
    while (l->running > 0) {
        (void)poll(&p, 1, LOOK_MS);
        take_signals(l);
        uint64_t now = clock_now_ms();
        if (!l->ending)
            look(l);
        if (!l->ending && now >= next) {
            say(l, "progress");
            next = now + l->opt.every_ms;
        }
        for (unsigned i = 0; l->ending && now >= l->ends && i <= l->opt.processes; i++)
            if (l->pid[i] > 0)
                kill(l->pid[i], SIGKILL);
    }
}

/* --- the end --- */

static void remove_state(const struct load *l)
{
    char *argv[] = {"rm", "-rf", "--", l->opt.state, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[0], argv);
        _Exit(127);
    }
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}

static int run(struct load *l, struct errmsg *err)
{
    int r = check_target(l->target, err);
    if (r == 0)
        r = check_names(&l->opt, err);
    if (r == 0)
        r = check_users(&l->opt, err);
    if (r == 0)
        r = deal(&l->opt, err);
    if (r == 0)
        r = make_table(l, err);
    if (r == 0)
        r = make_state(l, err);
    if (r != 0)
        return r;
    l->started = clock_now_ms();
    l->ends = l->started + l->opt.for_ms;
    r = start_processes(l, err);
    if (r != 0)
        end_processes(l);
    watch(l);
    if (l->own_state)
        remove_state(l);
    return r;
}

/* What an agent starts for its sessions is the agent's program, not this one. */
static int keep(char **argv)
{
    char path[FS_PATH_MAX];
    if (fs_sibling_program("multissh-agent", path, sizeof path) == 0)
        execvp(path, argv);
    fprintf(stderr, "multissh-load: cannot run multissh-agent: %s\n", strerror(errno));
    return EXIT_FAILURE;
}

static int read_line(struct load *l, int argc, char **argv, struct errmsg *err)
{
    static const char *const extras[] = {"--help", "-h", "--version", NULL};
    const char *extra = NULL;
    int next = 0, r = options_defaults(load_options_table, load_options_count, &l->opt);
    if (r == 0)
        r = options_args(load_options_table, load_options_count, &l->opt, argc, argv, extras, &next, &extra,
                         err);
    if (r == 0 && extra != NULL) {
        if (strcmp(extra, "--version") == 0)
            printf("multissh-load %s\n", MULTISSH_VERSION);
        else
            help(stdout);
        return 1;
    }
    if (r == 0 && next != argc - 1)
        r = errmsg_set(err, -EINVAL,
                       "say where the hub is, behind the options: 127.0.0.1:PORT/CODE; --help shows more");
    l->target = argv[next];
    return r;
}

int main(int argc, char **argv)
{
    struct load l = {0};
    struct errmsg err = {""};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--keeper") == 0)
            return keep(argv);
    process_prepare();
    log_init("multissh-load");
    int r = read_line(&l, argc, argv, &err);
    if (r == 0)
        r = run(&l, &err);
    bool fine = l.failed == 0 && l.there && l.connected;
    options_release(load_options_table, load_options_count, &l.opt);
    if (r == 1)
        return EXIT_SUCCESS;
    if (r != 0)
        fprintf(stderr, "multissh-load: %s\n", err.text);
    return r == -EINVAL || r == -ERANGE ? EXIT_USAGE : r == 0 && fine ? EXIT_SUCCESS : EXIT_FAILURE;
}
