/* invite: one line that makes a machine join. */
#include "hub/cmd.h"

#include "base/addr.h"
#include "base/clock.h"
#include "base/crypto.h"
#include <stdio.h>
#include <string.h>

#define TOKEN_SIZE 16
#define USES_MAX 100000
#define EXPIRES_MAX_MS (365ULL * 24 * 3600 * 1000)

static int make(struct cmd *c, struct store_invitation *inv, char code[80])
{
    uint8_t secret[TOKEN_SIZE + CRYPTO_HASH_SIZE];
    int status = 0;
    memcpy(secret + TOKEN_SIZE, hub_pin(c->hub), CRYPTO_HASH_SIZE);
    if (crypto_random(secret, TOKEN_SIZE) < 0 || crypto_sha256(secret, TOKEN_SIZE, inv->token_hash) < 0 ||
        crypto_b64url_encode(secret, sizeof secret, code, 80) < 0)
        status = cmd_fail(c, "no random bytes are to be had");
    else if (store_invitation_add(c->hub->store, inv) < 0)
        status = cmd_fail(c, "the hub cannot write its database now; its log says why");
    crypto_wipe(secret, sizeof secret);
    return status;
}

static void say_more(struct cmd *c, const struct store_invitation *inv)
{
    char utc[32];
    const struct machine *m = registry_find(c->hub->registry, inv->name);
    clock_format_utc(inv->expires_s, utc, sizeof utc);
    if (inv->uses_left == 1)
        cmd_err(c, "Paste it on the machine; it is good once, until %s.\n", utc);
    else
        cmd_err(c, "Paste it on the machines; it is good %u times, until %s.\n", inv->uses_left, utc);
    if (m != NULL)
        cmd_err(c, "The name %s is held by %s now: it moves to the machine that joins with this.\n", m->name,
                m->holder);
}

int cmd_invite_run(struct cmd *c)
{
    const char *uses = "1", *expires = NULL;
    uint64_t n_uses, expires_ms = c->hub->opt.invitation_ms;
    struct store_invitation inv = {.name = ""};
    char code[80], address[DESCRIBE_HUB_MAX], text[120];
    const struct cmd_option options[] = {{'\0', "uses", NULL, &uses}, {'\0', "expires", NULL, &expires}};
    int status = cmd_parse(c, options, 2, 0, 1);
    if (status != CMD_GO)
        return status;
    if (c->n == 1 && !names_machine_ok(c->word[0]))
        return cmd_usage(c, "that is not a machine name (1 to %d of letters, digits, - and _)",
                         NAMES_MACHINE_MAX);
    if (cmd_number(uses, 1, USES_MAX, &n_uses) < 0)
        return cmd_usage(c, "--uses takes a number from 1 to %d", USES_MAX);
    if (c->n == 1 && n_uses > 1)
        return cmd_usage(
            c, "an invitation for one name is good once; leave out the name and each machine brings its own");
    if (expires != NULL &&
        (clock_parse_duration(expires, &expires_ms) < 0 || expires_ms < 1000 || expires_ms > EXPIRES_MAX_MS))
        return cmd_usage(c, "--expires takes a time like 90s, 15m, 1h or 7d, at most 365d");
    if (c->n == 1)
        snprintf(inv.name, sizeof inv.name, "%s", c->word[0]);
    inv.expires_s = c->now_s + (int64_t)(expires_ms / 1000);
    inv.uses_left = (uint32_t)n_uses;
    snprintf(inv.by, sizeof inv.by, "%s", c->who->name);
    status = make(c, &inv, code);
    if (status != 0)
        return status;
    describe_hub(c->hub, 0, address);
    cmd_out(c, "multissh-agent join %s/%s\n", address, code);
    crypto_wipe(code, sizeof code);
    say_more(c, &inv);
    snprintf(text, sizeof text, "%u use%s, for %llu s", inv.uses_left, inv.uses_left == 1 ? "" : "s",
             (unsigned long long)(expires_ms / 1000));
    cmd_audit(c, "invite", c->n == 1 ? inv.name : NULL, text);
    return 0;
}
