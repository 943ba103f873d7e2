/* config and known-hosts: what a user puts into ~/.ssh. */
#include "hub/cmd.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define KNOWN_HOSTS "~/.ssh/known_hosts_multissh"

/* ssh compares the names in its configuration with case. */
static void lower(const char *from, char *to, size_t size)
{
    snprintf(to, size, "%s", from);
    for (; *to != '\0'; to++)
        *to = (char)tolower((unsigned char)*to);
}

int cmd_config_run(struct cmd *c)
{
    bool trust_hub = false, resume = false;
    char hub[254], domain[254];
    const struct cmd_option options[] = {{'\0', "trust-hub", &trust_hub, NULL},
                                         {'\0', "resume", &resume, NULL}};
    int status = cmd_parse(c, options, 2, 0, 0);
    if (status != CMD_GO)
        return status;
    lower(c->hub->public_host, hub, sizeof hub);
    lower(c->hub->domain, domain, sizeof domain);
    unsigned port = c->hub->public_port;
    bool v6 = strchr(hub, ':') != NULL;
    cmd_out(c, "\n# The machines behind %s: ssh user@NAME.%s\n", hub, domain);
    if (trust_hub)
        /* In force for every host, or an older ssh would stumble over the line below for hosts that it does
         * not concern. */
        cmd_out(c, "Host *\n    IgnoreUnknown KnownHostsCommand\n");
    cmd_out(c, "Host %s\n    Port %u\n", hub, port);
    cmd_out(c, "Host *.%s !%s\n", domain, hub);
    cmd_out(c, "    %s %s%s%s:%u%s\n", resume ? "ProxyCommand multissh connect --hub" : "ProxyJump",
            v6 ? "[" : "", hub, v6 ? "]" : "", port, resume ? " %n" : "");
    cmd_out(c, "    StrictHostKeyChecking accept-new\n    UserKnownHostsFile " KNOWN_HOSTS "\n");
    if (trust_hub)
        cmd_out(c, "    KnownHostsCommand /usr/bin/ssh -o BatchMode=yes -p %u %s known-hosts %%H\n", port,
                hub);
    return 0;
}

static int print_keys(struct machine *m, void *arg)
{
    struct cmd *c = arg;
    if (!who_may_reach(c->who, m->name))
        return 0;
    for (unsigned i = 0; i < m->n_host_keys; i++)
        cmd_out(c, "%s.%s,%s %s\n", m->name, c->hub->domain, m->name, m->host_keys[i]);
    return c->failed;
}

/* ssh's %H may be "[web01.DOMAIN]:22". */
static char *strip_brackets(char *word)
{
    char *end = strchr(word, ']');
    if (*word != '[' || end == NULL)
        return word;
    *end = '\0';
    return word + 1;
}

int cmd_config_known_hosts(struct cmd *c)
{
    int status = cmd_parse(c, NULL, 0, 0, 1);
    if (status != CMD_GO)
        return status;
    if (c->n == 0) {
        registry_each(c->hub->registry, print_keys, c);
        return 0;
    }
    struct machine *m = cmd_machine(c, strip_brackets(c->word[0]));
    if (m == NULL)
        return 1;
    print_keys(m, c);
    if (m->n_host_keys == 0)
        cmd_err(c, "known-hosts: %s has not reported its host keys (why %s says more)\n", m->name, m->name);
    return 0;
}
