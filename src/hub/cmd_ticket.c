/* ticket: what a program of the user's needs to be the user's side of a stream itself. */
#include "hub/cmd.h"

#include "hub/hub_keys.h"
#include "hub/jumps.h"
#include "tls/keys.h"
#include <stdio.h>

/* Whoever has the line has the stream until it expires: it goes to the user's own terminal or program, and nowhere else. */
int cmd_ticket_run(struct cmd *c)
{
    char machine[NAMES_MACHINE_MAX + 1], text[REFUSALS_TEXT_MAX], ticket[TICKET_TEXT_MAX];
    char hex[2 * TICKET_KEY_SIZE + 1], pin[KEYS_FINGERPRINT_TEXT];
    const struct hub *hub = c->hub;
    uint8_t key[TICKET_KEY_SIZE];
    struct ticket t = {.expiry_s = c->now_s + JUMPS_TICKET_LIFE_S};
    int status = cmd_parse(c, NULL, 0, 1, 1);
    if (status != CMD_GO)
        return status;
    if (c->who->local)
        return cmd_fail(c, "a ticket is for a user: ssh %s ticket NAME", hub->public_host);
    if (!jumps_may(hub->jumps, c->who, c->word[0], machine, text))
        return cmd_fail(c, "%s", text);
    snprintf(t.machine, sizeof t.machine, "%s", machine);
    snprintf(t.user, sizeof t.user, "%s", c->who->name);
    if (c->who->key == NULL || ticket_user_key(c->who->key, t.user_key) < 0 ||
        ticket_id_new(true, t.id) < 0 || ticket_make(hub_keys_secret(hub->keys), &t, ticket, key) < 0)
        return cmd_fail(c, "the hub cannot make a ticket now; try again");
    crypto_hex_encode(key, sizeof key, hex, sizeof hex);
    keys_pin_text(hub_keys_pin(hub->keys), pin);
    cmd_out(
        c,
        "MULTISSH-TICKET/1 machine=%s host=%s port=%u ticket=%s key=%s window=%llu patience_ms=%llu pin=%s\n",
        machine, hub->public_host, (unsigned)hub->public_port, ticket, hex,
        (unsigned long long)hub->opt.window, (unsigned long long)hub->opt.patience_ms, pin);
    crypto_wipe(key, sizeof key);
    crypto_wipe(hex, sizeof hex);
    return 0;
}
