/* The JSON door: what it lets in is within its bounds, and survives being written and read again. */
#include "base/json.h"
#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static size_t check(const cJSON *value, size_t depth)
{
    size_t n = 1;
    require(depth <= 32);
    if (cJSON_IsString(value))
        require(utf8_ok(value->valuestring, strlen(value->valuestring)));
    for (const cJSON *child = value->child; child != NULL; child = child->next) {
        if (cJSON_IsObject(value)) {
            require(utf8_ok(child->string, strlen(child->string)));
            /* The first of its name is the only one. */
            require(cJSON_GetObjectItemCaseSensitive(value, child->string) == child);
        }
        n += check(child, depth + 1);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    cJSON *obj = NULL, *again = NULL;
    struct buf out;
    int64_t number;

    if (json_parse((const char *)data, n, 16384, &obj) != 0)
        return 0;
    require(cJSON_IsObject(obj) && check(obj, 0) <= 4096);
    const char *text = json_str(obj, "s", 8);
    require(text == NULL || strlen(text) <= 8);
    if (json_int(obj, "n", -5, 5, &number) == 0)
        require(number >= -5 && number <= 5);
    buf_init(&out, (size_t)1 << 20);
    require(json_take(obj, &out) == 0);
    /* A number beyond what a double holds is written as null, and that is JSON too. */
    require(json_parse((const char *)buf_data(&out), buf_len(&out), (size_t)1 << 20, &again) == 0);
    cJSON_Delete(again);
    buf_release(&out);
    return 0;
}
