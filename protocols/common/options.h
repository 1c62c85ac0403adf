/* The command line, and files of the same words. */
#ifndef COMMON_OPTIONS_H
#define COMMON_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/* A list of words, read one by one: "--name", "--name=value", "--name value" and plain words. --config FILE puts the words of
 * the file in its place: separated by blanks and line ends; '#' begins a comment. */
typedef struct options {
    char **words;
    int count, at;
    const char *name;    /* of the option at hand, without its dashes; NULL for a plain word */
    const char *word;    /* the plain word, or the option as it was written */
    const char *value;   /* what stood behind '=', or NULL */
    bool again;          /* see options_again */
    char mistake[200];
} options;

void options_begin(options *o, int argc, char **argv);
/* The same words once more, and the files as they are now. What makes no sense does not end the program but is in `mistake`,
 * and options_next gives false from then on. */
void options_again(options *o, int argc, char **argv);
void options_end(options *o);                /* frees the words */
/* What was read makes no sense: ends the program, or is the mistake. */
void options_wrong(options *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says in the log what came of reading them again. */
void options_told(const options *o);
bool options_next(options *o);               /* false: that was all */
const char *options_value(options *o);       /* the option's value; without one it is a mistake, and "" */
unsigned options_number(options *o, unsigned least, unsigned most);

/* What every protocol has: --log LEVEL, --component N (into *component), --version. True: it was one of them. */
bool options_common(options *o, uint32_t *component);

/* The text as a number from `least` to `most`; as an address; false: it is none. */
bool parse_number(const char *text, unsigned least, unsigned most, unsigned *number);
bool parse_address(const char *text, uint32_t *address);

/* Prefixes as 239.0.0.0/8 or 10.0.0.1, in network byte order, with a verdict each: the first that fits counts. */
typedef struct prefix_rule {
    struct prefix_rule *next;
    uint32_t network, mask;
    bool permit;
} prefix_rule;
bool parse_prefix(const char *text, uint32_t *network, uint32_t *mask);
bool prefix_add(prefix_rule **list, const char *text, bool permit); /* at the end; false: no prefix */
#define PREFIX_WRONG "%s: not an address, nor a prefix such as 239.0.0.0/8"
prefix_rule *prefix_copy(const prefix_rule *list);
void prefix_free(prefix_rule *list);
bool prefix_same(const prefix_rule *a, const prefix_rule *b);
bool prefix_permits(const prefix_rule *list, uint32_t address, bool otherwise);

#endif
