/* Jumps that are not had: the text in the channel, then the end. */
#include "front/jump_private.h"

#define REFUSAL_MS 2000 /* for the client to read a refusal and go */

/* What the client says to the machine that it takes this for: nothing of it matters. */
static size_t on_refused_data(void *arg, const void *data, size_t n)
{
    (void)arg;
    (void)data;
    return n;
}

void jump_refuse(struct jump *jump, const char *text)
{
    struct ssh_ask *ask = jump->ask;
    jump->ask = NULL;
    jump->refusing = true;
    if (refusal_append(&jump->text, text) < 0) {
        ssh_ask_refuse(ask);
        return;
    }
    jump->chan = ssh_ask_accept_channel(ask);
    jump->refused_at = ssh_loop_now(jump->front->loop);
    if (jump->chan != NULL) {
        ssh_chan_own(jump->chan, jump, on_refused_data);
    }
}

/* Writes the text, then waits until the client has ended its direction: it has read the text then. EOF comes after that, for
 * ssh -W answers it by ending at once, and the ssh that started it fails to write its key exchange before it reads the
 * text. */
bool jump_refuse_turn(struct jump *jump)
{
    uint64_t until = jump->refused_at + REFUSAL_MS;
    if (jump->chan == NULL || ssh_chan_closed(jump->chan)) {
        return false;
    }
    while (buf_len(&jump->text) > 0) {
        long wrote = ssh_chan_write(jump->chan, buf_data(&jump->text), buf_len(&jump->text), false);
        if (wrote < 0) {
            return false;
        }
        if (wrote == 0) {
            front_wake(jump->front, until);
            return ssh_loop_now(jump->front->loop) < until;
        }
        buf_consume(&jump->text, (size_t)wrote);
    }
    if (!ssh_chan_eof(jump->chan) && ssh_loop_now(jump->front->loop) < until) {
        front_wake(jump->front, until);
        return true;
    }
    ssh_chan_end(jump->chan);
    return false;
}
