/* authorized_keys, and rights as bytes: what is read and written again is the same. */
#include "base/buf.h"
#include "sshd/authkeys.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIvWIgFZzigAuJOgq554ycQq5W0dKxs+p9wbuxkQeF6G"
#define NOW 1000000

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void same_again(struct authkeys_rights *rights)
{
    struct authkeys_rights back;
    struct buf one, two;
    buf_init(&one, 1u << 20);
    buf_init(&two, 1u << 20);
    require(authkeys_pack(rights, &one) == 0);
    require(authkeys_unpack(buf_data(&one), buf_len(&one), &back) == 0);
    require(authkeys_pack(&back, &two) == 0);
    require(buf_len(&one) == buf_len(&two) && memcmp(buf_data(&one), buf_data(&two), buf_len(&one)) == 0);
    if (rights->no_port_forwarding)
        require(!authkeys_may_open(&back, "localhost", 80) && !authkeys_may_listen(&back, "localhost", 80));
    require(authkeys_may_open(rights, "localhost", 80) == authkeys_may_open(&back, "localhost", 80));
    require(authkeys_may_listen(rights, "localhost", 80) == authkeys_may_listen(&back, "localhost", 80));
    authkeys_rights_release(&back);
    buf_release(&one);
    buf_release(&two);
}

static void find(const char *text, size_t n)
{
    struct authkeys_rights rights;
    struct errmsg err = {""};
    unsigned line = 0;
    int rc = authkeys_find(text, n, KEY, "192.0.2.7", NOW, &rights, &line, &err);
    require(rc == 0 || rc == -ENOENT || rc == -EACCES);
    if (rc != 0)
        return;
    require(line > 0);
    require(rights.expiry_s == 0 || rights.expiry_s >= NOW);
    same_again(&rights);
    authkeys_rights_release(&rights);
}

/* As it is: a file, and packed rights. Then as the options before a key, which is what mutation finds
 * hardest. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct authkeys_rights rights;
    char *text = malloc(n + sizeof KEY + 1);
    if (text == NULL)
        return 0;
    if (authkeys_unpack(data, n, &rights) == 0) {
        same_again(&rights);
        authkeys_rights_release(&rights);
    }
    if (n > 0)
        memcpy(text, data, n);
    find(text, n);
    text[n] = ' ';
    memcpy(text + n + 1, KEY, sizeof KEY - 1);
    find(text, n + sizeof KEY);
    free(text);
    return 0;
}
