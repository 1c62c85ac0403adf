#include "options.h"
#include "log.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MGM_PROTOCOLS_VERSION
#define MGM_PROTOCOLS_VERSION "unknown"
#endif

static void wrong(options *o, bool usage, const char *format, va_list arguments)
{
    char text[sizeof o->mistake];
    vsnprintf(text, sizeof text, format, arguments);
    if (!o->again && usage)
        usage_error("%s", text);
    if (!o->again)
        die("%s", text);
    if (o->mistake[0] == 0)
        memcpy(o->mistake, text, sizeof text);
}

void options_wrong(options *o, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    wrong(o, true, format, arguments);
    va_end(arguments);
}

/* The file cannot be read. */
static void unreadable(options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void unreadable(options *o, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    wrong(o, false, format, arguments);
    va_end(arguments);
}

static void add_word(options *o, const char *word)
{
    char **more = realloc(o->words, ((size_t)o->count + 1) * sizeof *more);
    char *copy = strdup(word);
    if (more == NULL || copy == NULL)
        die("out of memory");
    o->words = more;
    o->words[o->count++] = copy;
}

static void add_file(options *o, const char *path)
{
    FILE *file = fopen(path, "re");
    char *line = NULL, *rest, *word;
    size_t size = 0;
    if (file == NULL) {
        unreadable(o, "%s: %s", path, strerror(errno));
        return;
    }
    while (getline(&line, &size, file) >= 0) {
        char *comment = strchr(line, '#');
        if (comment != NULL)
            *comment = 0;
        for (word = strtok_r(line, " \t\r\n", &rest); word != NULL; word = strtok_r(NULL, " \t\r\n", &rest))
            add_word(o, word);
    }
    if (ferror(file))
        unreadable(o, "%s: %s", path, strerror(errno));
    free(line);
    fclose(file);
}

static void read_words(options *o, int argc, char **argv)
{
    for (int n = 1; n < argc; n++) {
        if (strncmp(argv[n], "--config=", 9) == 0) {
            add_file(o, argv[n] + 9);
        } else if (strcmp(argv[n], "--config") == 0) {
            if (++n == argc)
                options_wrong(o, "--config needs a file");
            else
                add_file(o, argv[n]);
        } else {
            add_word(o, argv[n]);
        }
    }
}

void options_begin(options *o, int argc, char **argv)
{
    memset(o, 0, sizeof *o);
    read_words(o, argc, argv);
}

void options_again(options *o, int argc, char **argv)
{
    memset(o, 0, sizeof *o);
    o->again = true;
    read_words(o, argc, argv);
}

void options_end(options *o)
{
    for (int n = 0; n < o->count; n++)
        free(o->words[n]);
    free(o->words);
    memset(o, 0, sizeof *o);
}

void options_told(const options *o)
{
    if (o->mistake[0] == 0)
        log_info("the configuration was read anew");
    else
        log_error("everything stays as it is: %s", o->mistake);
}

bool options_next(options *o)
{
    static char name[64];
    const char *equals;
    size_t length;
    if (o->at == o->count || o->mistake[0] != 0)
        return false;
    o->word = o->words[o->at++];
    o->name = o->value = NULL;
    if (strncmp(o->word, "--", 2) != 0)
        return true;
    equals = strchr(o->word, '=');
    length = equals ? (size_t)(equals - o->word) - 2 : strlen(o->word) - 2;
    if (length == 0 || length >= sizeof name) {
        options_wrong(o, "no option: %s", o->word);
        return false;
    }
    memcpy(name, o->word + 2, length);
    name[length] = 0;
    o->name = name;
    o->value = equals ? equals + 1 : NULL;
    return true;
}

const char *options_value(options *o)
{
    if (o->value == NULL) {
        if (o->at == o->count) {
            options_wrong(o, "--%s needs a value", o->name);
            return o->value = "";
        }
        o->value = o->words[o->at++];
    }
    return o->value;
}

unsigned options_number(options *o, unsigned least, unsigned most)
{
    unsigned number = least;
    if (!parse_number(options_value(o), least, most, &number))
        options_wrong(o, "--%s %s: a number from %u to %u is allowed", o->name, o->value, least, most);
    return number;
}

bool options_common(options *o, uint32_t *component)
{
    if (o->name == NULL)
        return false;
    if (strcmp(o->name, "log") == 0) {
        if (!log_level_set(options_value(o)))
            options_wrong(o, "--log %s: off, error, warn, info and debug are allowed", o->value);
    } else if (strcmp(o->name, "component") == 0) {
        *component = options_number(o, 1, 0xffffffff);
    } else if (strcmp(o->name, "version") == 0 && !o->again) {
        printf("%s %s\n", log_program, MGM_PROTOCOLS_VERSION);
        exit(0);
    } else {
        return false;
    }
    return true;
}

bool parse_number(const char *text, unsigned least, unsigned most, unsigned *number)
{
    char *end;
    unsigned long value;
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno != 0 || *end != 0 || value < least || value > most)
        return false;
    *number = (unsigned)value;
    return true;
}

bool parse_address(const char *text, uint32_t *address) { return inet_pton(AF_INET, text, address) == 1; }

bool parse_prefix(const char *text, uint32_t *network, uint32_t *mask)
{
    char address[16];
    const char *slash = strchr(text, '/');
    size_t length = slash ? (size_t)(slash - text) : strlen(text);
    unsigned bits = 32;
    if (length >= sizeof address)
        return false;
    memcpy(address, text, length);
    address[length] = 0;
    if (!parse_address(address, network) || (slash != NULL && !parse_number(slash + 1, 0, 32, &bits)))
        return false;
    *mask = bits == 0 ? 0 : htonl(0xffffffffu << (32 - bits));
    return (*network & ~*mask) == 0;
}

bool prefix_add(prefix_rule **list, const char *text, bool permit)
{
    prefix_rule rule = {.permit = permit}, *more;
    if (!parse_prefix(text, &rule.network, &rule.mask))
        return false;
    if ((more = malloc(sizeof *more)) == NULL)
        die("out of memory");
    *more = rule;
    while (*list != NULL)
        list = &(*list)->next;
    *list = more;
    return true;
}

prefix_rule *prefix_copy(const prefix_rule *list)
{
    prefix_rule *first = NULL, **end = &first;
    for (; list != NULL; list = list->next) {
        if ((*end = malloc(sizeof **end)) == NULL)
            die("out of memory");
        **end = *list;
        (*end)->next = NULL;
        end = &(*end)->next;
    }
    return first;
}

void prefix_free(prefix_rule *list)
{
    while (list != NULL) {
        prefix_rule *gone = list;
        list = gone->next;
        free(gone);
    }
}

bool prefix_same(const prefix_rule *a, const prefix_rule *b)
{
    while (a != NULL && b != NULL && a->network == b->network && a->mask == b->mask && a->permit == b->permit)
        a = a->next, b = b->next;
    return a == b; /* both at their end */
}

bool prefix_permits(const prefix_rule *list, uint32_t address, bool otherwise)
{
    for (; list != NULL; list = list->next)
        if ((address & list->mask) == list->network)
            return list->permit;
    return otherwise;
}
