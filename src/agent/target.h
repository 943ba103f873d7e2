/* Words for what a connection to the machine's SSH server came to. Pure. */
#ifndef MULTISSH_AGENT_TARGET_H
#define MULTISSH_AGENT_TARGET_H

/* The code of `failed` (PROTOCOL.md) for a libuv error: "refused", "timeout", "unreachable", "busy" (out of
 * descriptors or memory) or "other". Static. */
const char *target_code(int status);
/* The ssh_state for it: "refused", or "timeout" for every other way of not answering. Static. */
const char *target_state(int status);

#endif
