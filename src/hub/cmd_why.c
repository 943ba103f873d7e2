/* why: can this machine be reached, and what to do when it cannot. */
#include "hub/cmd.h"

#include <stdio.h>
#include <string.h>

static bool is_published(const struct machine *m)
{
    return strncmp(m->holder, "user:", 5) == 0;
}

static bool is_windows(const struct machine *m)
{
    return strcmp(m->os, "windows") == 0;
}

static void say_own_server(struct cmd *c, const struct machine *m)
{
    const char *at = m->ssh_target[0] == '\0' ? "its SSH port" : m->ssh_target;
    if (strcmp(m->ssh, "none") == 0)
        cmd_out(c,
                "It has no SSH server: install one (%s), or tell its agent where one is (multissh-agent "
                "--ssh ADDR:PORT).\n",
                is_windows(m) ? "Settings, Optional features, OpenSSH Server" : "apt install openssh-server");
    else if (strcmp(m->ssh_state, "ok") == 0)
        cmd_out(c, "Its SSH server (%s) answers.\n", at);
    else if (strcmp(m->ssh_state, "refused") == 0)
        cmd_out(c,
                "Its SSH server is not running: %s refused the connection. Start it there (%s), or tell its "
                "agent where it is (multissh-agent --ssh ADDR:PORT).\n",
                at, is_windows(m) ? "Start-Service sshd" : "systemctl start ssh");
    else if (strcmp(m->ssh_state, "timeout") == 0)
        cmd_out(c,
                "Its SSH server (%s) does not answer: look on the machine whether it hangs, or a firewall is "
                "in the way.\n",
                at);
    else if (strcmp(m->ssh_state, "not-ssh") == 0)
        cmd_out(c,
                "What listens at %s there is not an SSH server: tell its agent where one is (multissh-agent "
                "--ssh ADDR:PORT).\n",
                at);
    else
        cmd_out(c, "Its agent has not said yet how its SSH server is.\n");
}

static void say_ssh(struct cmd *c, const struct machine *m)
{
    if (strcmp(m->ssh, "built-in") == 0)
        cmd_out(c, "Its SSH server is the agent's own (multissh-sshd), for no other one runs there or is "
                   "wanted (ssh-mode).\n");
    else
        say_own_server(c, m);
    if (m->ssh_reason[0] != '\0')
        cmd_out(c, "The agent's own SSH server (multissh-sshd) cannot be had: %s.\n", m->ssh_reason);
}

static void say_host_keys(struct cmd *c, const struct machine *m)
{
    const char *how = "asked by its agent of its SSH server (ssh-keyscan)";
    if (strcmp(m->host_keys_from, "files") == 0)
        how = is_windows(m) ? "read by its agent from %ProgramData%\\ssh" : "read by its agent from /etc/ssh";
    else if (strcmp(m->host_keys_from, "built-in") == 0)
        how = "asked by its agent of multissh-sshd";
    if (m->n_host_keys > 0)
        cmd_out(c, "%u host key%s known, %s.\n", m->n_host_keys, m->n_host_keys == 1 ? " is" : "s are", how);
    else if (strcmp(m->ssh, "built-in") == 0)
        cmd_out(c, "Its agent could not learn its host key (the service does not tell it: systemctl status "
                   "multissh-sshd-key.socket), so ssh asks about it at the first login.\n");
    else if (strcmp(m->ssh, "none") != 0)
        cmd_out(c, "Its agent could not learn its host keys (ssh-keyscan is not installed there, and "
                   "/etc/ssh/*.pub is not to be read), so "
                   "ssh asks about them at the first login.\n");
}

static void say_online(struct cmd *c, const struct machine *m)
{
    if (is_published(m)) {
        cmd_out(c, "It is published by %s from %s with ssh -R; its sessions end with that connection.\n",
                m->holder + 5, m->source);
        return;
    }
    cmd_out(c, "It is connected from %s (multissh-agent %s on %s %s).\n", m->source, m->version, m->os,
            m->arch);
    say_ssh(c, m);
    say_host_keys(c, m);
}

static void say_offline(struct cmd *c, const struct machine *m)
{
    if (is_published(m))
        cmd_out(c, "It comes back when %s publishes it again (ssh -N -R %s:22:localhost:22 …).\n",
                m->holder + 5, m->name);
    else
        cmd_out(c, "Its agent connects by itself as soon as it can: look whether the machine is up and has a "
                   "network, and there at "
                   "systemctl status multissh-agent.\n");
}

struct seeker {
    struct cmd *c;
    const char *name;
    bool found;
};

static int say_pending(const struct registry_pending *p, void *arg)
{
    struct seeker *s = arg;
    char ago[32];
    if (!names_same(p->name, s->name))
        return 0;
    s->found = true;
    cmd_ago(s->c, p->since_s, ago);
    if (p->clone)
        cmd_out(s->c, "A clone is held back since %s: another instance with the same key (%s), from %s.\n",
                ago, p->key, p->source);
    else
        cmd_out(s->c,
                "A machine from %s that wants the name %s waits for approval since %s%s: approve %s %s\n",
                p->source, p->name, ago, p->link == NULL ? " (it has gone away again)" : "", p->name, p->key);
    return 0;
}

/* Admins see who waits under a name, also where no machine has it yet. */
static bool say_waiting(struct cmd *c, const char *word)
{
    char name[NAMES_MACHINE_MAX + 1];
    struct seeker s = {c, name, false};
    if (!c->who->admin || describe_machine_name(word, c->hub->domain, name) < 0)
        return false;
    registry_pendings(c->hub->registry, say_pending, &s);
    return s.found;
}

int cmd_why_run(struct cmd *c)
{
    char text[DESCRIBE_MAX], name[NAMES_MACHINE_MAX + 1];
    int status = cmd_parse(c, NULL, 0, 1, 1);
    if (status != CMD_GO)
        return status;
    bool leased = describe_machine_name(c->word[0], c->hub->domain, name) == 0 &&
                  registry_find(c->hub->registry, name) != NULL;
    if (!leased && say_waiting(c, c->word[0]))
        return 0;
    const struct machine *m = cmd_machine(c, c->word[0]);
    if (m == NULL)
        return 1;
    describe_machine(m, c->now_s, text, sizeof text);
    cmd_out(c, "%s.\n", text);
    if (m->link != NULL)
        say_online(c, m);
    else
        say_offline(c, m);
    if (m->clone_seen && !c->who->admin)
        cmd_out(c, "Another instance with the same key, from %s, is held back as a clone.\n",
                m->clone_source);
    if (m->clone_seen)
        cmd_out(c, "Two machines were made from one image: on one of them remove the agent's key and join "
                   "again with an invitation.\n");
    if (c->who->admin) {
        cmd_out(c, "The name is held by %s; %u session%s now.\n", m->holder, m->sessions,
                m->sessions == 1 ? "" : "s");
        say_waiting(c, m->name);
    }
    return 0;
}
