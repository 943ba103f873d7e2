/* The JSON door: what is let in, what is not, and the bounds of fields. */
#include "cmocka_all.h"

#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse(const char *text)
{
    cJSON *obj = NULL;
    int r = json_parse(text, strlen(text), 131072, &obj);
    assert_true((r == 0) == (obj != NULL));
    cJSON_Delete(obj);
    return r;
}

static void lets_in(void **state)
{
    static const char *const good[] = {
        "{}",
        " {\"a\":1}\r\n",
        "{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}],\"A\":0}",
        "{\"s\":\"\\u00e4\\ud83d\\ude00\\n\\\\u0000 \xc3\xa4\"}",
        "{\"k\":[[],{},null,true,false,-1.5e3,\"]\"]}",
        "{\"a\\\"b\":1}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_int_equal(parse(good[i]), 0);
}

static void keeps_out(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[]",
        "1",
        "\"a\"",
        "null",
        "{}x",
        "{}{}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\":1}]",
        "{\"a\":[1}",
        "{\"a\":\"x}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\x01\"}",
        "{\"a\":\x01 1}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"x\\\\\\u0000\"}",
        "{\"\\u0000\":1}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\",
        "{\"a\":1,\"a\":2}",
        "{\"x\":[{\"a\":1,\"b\":2,\"a\":3}]}",
        "{\"a\":1,\"\\u0061\":2}",
        "\xef\xbb\xbf{}",
        "{\"a\":tru}",
        "{\"a\":--1}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (parse(bad[i]) != -EINVAL)
            fail_msg("let in: %s", bad[i]);
    }
    cJSON *obj = NULL;
    assert_int_equal(json_parse("{\"a\0b\":1}", 9, 100, &obj), -EINVAL);
    assert_int_equal(json_parse("{}\0", 3, 100, &obj), -EINVAL);
    assert_int_equal(json_parse("{\"a\":1}garbage behind the length", 7, 7, &obj), 0);
    cJSON_Delete(obj);
    assert_int_equal(json_parse("{\"a\":1}", 7, 6, &obj), -EMSGSIZE);
}

/* {"a":[[[…]]]} with depth levels in all. */
static int parse_nested(size_t depth, char open, char close)
{
    char *text = malloc(6 * depth + 16), *p = text;
    for (size_t i = 0; i < depth; i++) {
        *p++ = i == 0 ? '{' : open;
        if (i == 0 || open == '{') {
            memcpy(p, "\"a\":", 4);
            p += 4;
        }
    }
    *p++ = '1';
    for (size_t i = depth; i > 0; i--)
        *p++ = i == 1 ? '}' : close;
    cJSON *obj = NULL;
    int r = json_parse(text, (size_t)(p - text), SIZE_MAX, &obj);
    cJSON_Delete(obj);
    free(text);
    return r;
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(parse_nested(32, '[', ']'), 0);
    assert_int_equal(parse_nested(33, '[', ']'), -EINVAL);
    assert_int_equal(parse_nested(32, '{', '}'), 0);
    assert_int_equal(parse_nested(33, '{', '}'), -EINVAL);
    assert_int_equal(parse_nested(1000, '[', ']'), -EINVAL);
    assert_int_equal(parse_nested(10000000, '[', ']'), -EINVAL);
    /* Brackets in strings do not count. */
    assert_int_equal(parse("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}"), 0);
}

/* The object, the array and n numbers. */
static int parse_many(size_t n)
{
    struct buf text;
    cJSON *obj = NULL;
    buf_init(&text, 1 << 20);
    buf_append_str(&text, "{\"a\":[");
    for (size_t i = 0; i < n; i++)
        buf_appendf(&text, "%s%zu", i == 0 ? "" : ",", i);
    buf_append_str(&text, "]}");
    int r = json_parse((const char *)buf_data(&text), buf_len(&text), 1 << 20, &obj);
    cJSON_Delete(obj);
    buf_release(&text);
    return r;
}

static int parse_keys(size_t n, bool twice)
{
    struct buf text;
    cJSON *obj = NULL;
    buf_init(&text, 1 << 20);
    for (size_t i = 0; i < n; i++)
        buf_appendf(&text, "%s\"k%zu\":1", i == 0 ? "{" : ",", twice && i == n - 1 ? n / 2 : i);
    buf_append_str(&text, "}");
    int r = json_parse((const char *)buf_data(&text), buf_len(&text), 1 << 20, &obj);
    cJSON_Delete(obj);
    buf_release(&text);
    return r;
}

static void count_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(parse_many(4094), 0);
    assert_int_equal(parse_many(4095), -EINVAL);
    assert_int_equal(parse_keys(4095, false), 0);
    assert_int_equal(parse_keys(4096, false), -EINVAL);
    assert_int_equal(parse_keys(4095, true), -EINVAL);
}

static void fields_have_bounds(void **state)
{
    const char *text =
        "{\"s\":\"four\",\"n\":42,\"neg\":-3,\"half\":1.5,\"big\":9007199254740992,\"huge\":1e300,"
        "\"over\":9007199254740994,\"inf\":1e999,\"t\":true,\"f\":false,\"null\":null,\"empty\":\"\"}";
    cJSON *obj = NULL;
    int64_t v = 0;
    (void)state;
    assert_int_equal(json_parse(text, strlen(text), 1000, &obj), 0);
    assert_string_equal(json_str(obj, "s", 4), "four");
    assert_null(json_str(obj, "s", 3));
    assert_string_equal(json_str(obj, "empty", 0), "");
    assert_null(json_str(obj, "n", 10));
    assert_null(json_str(obj, "S", 10));
    assert_null(json_str(obj, "none", 10));
    assert_null(json_str(NULL, "s", 10));
    assert_string_equal(json_str_or(obj, "s", 3, "other"), "other");
    assert_string_equal(json_str_or(obj, "s", 4, "other"), "four");
    assert_int_equal(json_int(obj, "n", 42, 42, &v), 0);
    assert_int_equal(v, 42);
    assert_int_equal(json_int(obj, "n", 43, 100, &v), -ERANGE);
    assert_int_equal(json_int(obj, "n", 0, 41, &v), -ERANGE);
    assert_int_equal(json_int(obj, "neg", -3, 0, &v), 0);
    assert_int_equal(v, -3);
    assert_int_equal(json_int(obj, "big", 0, INT64_MAX, &v), 0);
    assert_true(v == INT64_C(9007199254740992));
    assert_int_equal(json_int(obj, "over", 0, INT64_MAX, &v), -ERANGE);
    assert_int_equal(json_int(obj, "huge", INT64_MIN, INT64_MAX, &v), -ERANGE);
    assert_int_equal(json_int(obj, "inf", INT64_MIN, INT64_MAX, &v), -ERANGE);
    assert_int_equal(json_int(obj, "half", 0, 10, &v), -ERANGE);
    assert_int_equal(json_int(obj, "s", 0, 10, &v), -ERANGE);
    assert_int_equal(json_int(obj, "none", 0, 10, &v), -ENOENT);
    assert_int_equal(json_int_or(obj, "half", 0, 10, 7), 7);
    assert_true(json_bool(obj, "t", false));
    assert_false(json_bool(obj, "f", true));
    assert_true(json_bool(obj, "null", true));
    assert_true(json_bool(obj, "none", true));
    assert_false(json_bool(obj, "n", false));
    cJSON_Delete(obj);
}

static void writes_what_it_reads(void **state)
{
    struct buf out;
    cJSON *obj = json_new("hello"), *back = NULL;
    int64_t v = 0;
    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(json_add_str(obj, "s", "line\n\"\x01 \xc3\xa4"), 0);
    assert_int_equal(json_add_str(obj, "broken", "a\xff\xc3z"), 0);
    assert_int_equal(json_add_int(obj, "n", INT64_C(-9007199254740991)), 0);
    assert_int_equal(json_add_bool(obj, "b", true), 0);
    assert_int_equal(buf_append_str(&out, "<"), 0);
    assert_int_equal(json_take(obj, &out), 0);
    const char *text = buf_str(&out);
    assert_int_equal(strncmp(text, "<{\"type\":\"hello\",", 17), 0);
    assert_null(strchr(text, '\n'));
    assert_int_equal(json_parse(text + 1, strlen(text + 1), 1000, &back), 0);
    assert_string_equal(json_str(back, "s", 100), "line\n\"\x01 \xc3\xa4");
    assert_string_equal(json_str(back, "broken", 100), "a\xef\xbf\xbd\xef\xbf\xbdz");
    assert_int_equal(json_int(back, "n", INT64_MIN, 0, &v), 0);
    assert_true(v == INT64_C(-9007199254740991));
    assert_true(json_bool(back, "b", false));
    cJSON_Delete(back);
    buf_release(&out);
}

static void take_frees_in_every_case(void **state)
{
    struct buf small;
    (void)state;
    buf_init(&small, 5);
    assert_int_equal(json_take(json_new("does-not-fit"), &small), -ENOBUFS);
    assert_int_equal(buf_len(&small), 0);
    assert_int_equal(json_take(NULL, &small), -ENOMEM);
    assert_int_equal(json_add_str(NULL, "a", "b"), 0);
    assert_int_equal(json_add_int(NULL, "a", 1), 0);
    assert_int_equal(json_add_bool(NULL, "a", true), 0);
    buf_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lets_in),
        cmocka_unit_test(keeps_out),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(count_is_bounded),
        cmocka_unit_test(fields_have_bounds),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(take_frees_in_every_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
