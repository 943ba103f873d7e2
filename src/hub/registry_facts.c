/* What a machine says of itself: its bounds, and its form on disk. Nothing here decides who it is. */
#include "hub/registry_internal.h"

#include "base/addr.h"
#include "base/json.h"
#include "base/keyline.h"
#include "base/utf8.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_KEYS_MAX 8
#define HOST_KEYS_BYTES 5500 /* together: what is kept has a maximum (struct store_lease) */
#define LABELS_MAX 16
#define LABELS_BYTES 700
#define LABEL_NAME_MAX 63
#define LABEL_VALUE_MAX 255

enum form { FORM_TEXT, FORM_WORD, FORM_ID, FORM_ADDR };

struct field {
    const char *name;
    enum form form;
    size_t max;
    size_t offset; /* in struct machine; SIZE_MAX: checked, not kept here */
};
#define KEPT(member) offsetof(struct machine, member)

static const struct field fields[] = {
    {"os", FORM_TEXT, 31, KEPT(os)},
    {"arch", FORM_TEXT, 31, KEPT(arch)},
    {"version", FORM_TEXT, 31, KEPT(version)},
    {"ssh", FORM_WORD, 15, KEPT(ssh)},
    {"ssh_state", FORM_WORD, 15, KEPT(ssh_state)},
    {"ssh_target", FORM_ADDR, 79, KEPT(ssh_target)},
    {"ssh_reason", FORM_TEXT, 300, KEPT(ssh_reason)},
    {"host_keys_from", FORM_WORD, 15, KEPT(host_keys_from)},
    {"machine_id", FORM_ID, 64, SIZE_MAX},
    {"boot_id", FORM_ID, 39, SIZE_MAX},
    {"start_id", FORM_ID, 39, SIZE_MAX},
};
#define FIELDS (sizeof fields / sizeof fields[0])

static bool printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e)
            return false;
    }
    return true;
}

static bool fits(const struct field *f, const char *text)
{
    struct addr_hostport hp;
    if (strlen(text) > f->max)
        return false;
    switch (f->form) {
    case FORM_TEXT:
        return printable(text);
    case FORM_WORD:
        return text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
    case FORM_ID:
        return text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
    case FORM_ADDR:
        return *text == '\0' || (printable(text) && addr_parse(text, 22, false, &hp) == 0);
    }
    return false;
}

static bool host_keys_fit(const cJSON *keys)
{
    size_t total = 0;
    const cJSON *item;
    if (!cJSON_IsArray(keys) || cJSON_GetArraySize(keys) > HOST_KEYS_MAX)
        return false;
    cJSON_ArrayForEach(item, keys)
    {
        const char *text = cJSON_GetStringValue(item);
        if (text == NULL || !keyline_host_ok(text))
            return false;
        total += strlen(text);
    }
    return total <= HOST_KEYS_BYTES;
}

static bool label_fits(const char *text, size_t max)
{
    size_t n = strlen(text), step;
    uint32_t code;
    for (size_t i = 0; i < n; i += step) {
        step = utf8_next(text + i, n - i, &code);
        if (step == 0 || utf8_unsafe(code))
            return false;
    }
    return n <= max;
}

static bool labels_fit(const cJSON *labels)
{
    size_t total = 0;
    const cJSON *item;
    if (!cJSON_IsObject(labels) || cJSON_GetArraySize(labels) > LABELS_MAX)
        return false;
    cJSON_ArrayForEach(item, labels)
    {
        const char *value = cJSON_GetStringValue(item);
        if (value == NULL || *item->string == '\0' || !label_fits(item->string, LABEL_NAME_MAX) ||
            !label_fits(value, LABEL_VALUE_MAX))
            return false;
        total += strlen(item->string) + strlen(value);
    }
    return total <= LABELS_BYTES;
}

int registry_facts_check(const cJSON *message, struct errmsg *err)
{
    int64_t protocol;
    if (json_int(message, "protocol", 1, INT32_MAX, &protocol) < 0)
        return errmsg_set(err, -EINVAL, "\"protocol\" is missing or not a number");
    if (protocol != 1)
        return errmsg_set(err, -EINVAL,
                          "the agent speaks protocol %d, this hub speaks 1: update the older one",
                          (int)protocol);
    for (size_t i = 0; i < FIELDS; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(message, fields[i].name);
        const char *text = cJSON_GetStringValue(item);
        if (item != NULL && (text == NULL || !fits(&fields[i], text)))
            return errmsg_set(err, -EINVAL, "\"%s\" is out of its bounds", fields[i].name);
    }
    const char *start_id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, "start_id"));
    if (start_id == NULL || *start_id == '\0')
        return errmsg_set(err, -EINVAL, "\"start_id\" is missing");
    const cJSON *keys = cJSON_GetObjectItemCaseSensitive(message, "host_keys");
    if (keys != NULL && !host_keys_fit(keys))
        return errmsg_set(err, -EINVAL,
                          "\"host_keys\" is not a list of at most %d \"type base64\" keys (%d bytes in all)",
                          HOST_KEYS_MAX, HOST_KEYS_BYTES);
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(message, "labels");
    if (labels != NULL && !labels_fit(labels))
        return errmsg_set(err, -EINVAL, "\"labels\" is not at most %d strings (%d bytes in all)", LABELS_MAX,
                          LABELS_BYTES);
    return 0;
}

static void clear_host_keys(struct machine *m)
{
    for (unsigned i = 0; i < m->n_host_keys; i++)
        free(m->host_keys[i]);
    m->n_host_keys = 0;
}

static bool same_host_keys(const struct machine *m, const cJSON *keys)
{
    unsigned i = 0;
    const cJSON *item;
    if ((unsigned)cJSON_GetArraySize(keys) != m->n_host_keys)
        return false;
    cJSON_ArrayForEach(item, keys)
    {
        if (strcmp(m->host_keys[i++], item->valuestring) != 0)
            return false;
    }
    return true;
}

static bool apply_host_keys(struct machine *m, const cJSON *keys, bool whole)
{
    const cJSON *item;
    if (keys == NULL || !host_keys_fit(keys)) {
        bool had = whole && m->n_host_keys > 0;
        if (whole)
            clear_host_keys(m);
        return had;
    }
    if (same_host_keys(m, keys))
        return false;
    clear_host_keys(m);
    cJSON_ArrayForEach(item, keys)
    {
        char *copy = strdup(item->valuestring);
        if (copy == NULL)
            break; /* fewer keys than there are: the client asks about the others */
        m->host_keys[m->n_host_keys++] = copy;
    }
    return true;
}

static bool apply_labels(struct machine *m, const cJSON *labels, bool whole)
{
    bool fit = labels != NULL && labels_fit(labels);
    if (!fit && !whole)
        return false;
    char *text = NULL;
    if (fit && cJSON_GetArraySize(labels) > 0)
        text = cJSON_PrintUnformatted(labels);
    bool changed = (text == NULL) != (m->labels == NULL) || (text != NULL && strcmp(text, m->labels) != 0);
    cJSON_free(m->labels);
    m->labels = text;
    return changed;
}

bool registry_facts_apply(struct machine *m, const cJSON *message, bool whole)
{
    bool changed = false;
    for (size_t i = 0; i < FIELDS; i++) {
        if (fields[i].offset == SIZE_MAX)
            continue;
        char *to = (char *)m + fields[i].offset;
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(message, fields[i].name));
        if (text != NULL && !fits(&fields[i], text))
            text = NULL;
        if (text == NULL && whole)
            text = "";
        if (text != NULL && strcmp(to, text) != 0) {
            snprintf(to, fields[i].max + 1, "%s", text);
            changed = true;
        }
    }
    changed |= apply_host_keys(m, cJSON_GetObjectItemCaseSensitive(message, "host_keys"), whole);
    changed |= apply_labels(m, cJSON_GetObjectItemCaseSensitive(message, "labels"), whole);
    return changed;
}

void registry_facts_clear(struct machine *m)
{
    for (size_t i = 0; i < FIELDS; i++) {
        if (fields[i].offset != SIZE_MAX)
            *((char *)m + fields[i].offset) = '\0';
    }
    clear_host_keys(m);
    cJSON_free(m->labels);
    m->labels = NULL;
}

static cJSON *facts_object(const struct machine *m)
{
    cJSON *facts = cJSON_CreateObject(), *keys;
    for (size_t i = 0; i < FIELDS; i++) {
        if (fields[i].offset != SIZE_MAX && *((const char *)m + fields[i].offset) != '\0')
            cJSON_AddStringToObject(facts, fields[i].name, (const char *)m + fields[i].offset);
    }
    if (m->source[0] != '\0')
        cJSON_AddStringToObject(facts, "source", m->source);
    if (m->n_host_keys > 0 && (keys = cJSON_AddArrayToObject(facts, "host_keys")) != NULL) {
        for (unsigned i = 0; i < m->n_host_keys; i++)
            cJSON_AddItemToArray(keys, cJSON_CreateString(m->host_keys[i]));
    }
    if (m->labels != NULL)
        cJSON_AddRawToObject(facts, "labels", m->labels);
    return facts;
}

void registry_facts_save(const struct machine *m, char *out, size_t size)
{
    cJSON *facts = facts_object(m);
    char *text = cJSON_PrintUnformatted(facts);
    if (text != NULL && strlen(text) >= size) { /* the bounds above should not let this happen */
        cJSON_free(text);
        cJSON_DeleteItemFromObjectCaseSensitive(facts, "labels");
        cJSON_DeleteItemFromObjectCaseSensitive(facts, "host_keys");
        text = cJSON_PrintUnformatted(facts);
    }
    snprintf(out, size, "%s", text == NULL || strlen(text) >= size ? "{}" : text);
    cJSON_free(text);
    cJSON_Delete(facts);
}

void registry_facts_load(struct machine *m, const char *json)
{
    cJSON *facts;
    if (json_parse(json, strlen(json), sizeof((struct store_lease *)0)->facts, &facts) < 0)
        return; /* only a memory of what it said: it will say it again */
    registry_facts_apply(m, facts, true);
    const char *source = json_str_or(facts, "source", sizeof m->source - 1, "");
    snprintf(m->source, sizeof m->source, "%s", printable(source) ? source : "");
    cJSON_Delete(facts);
}
