#include "reader.h"

#include <ctype.h>

#define WORD_MAX 255

void read_words(FILE *from, struct table *table)
{
	char word[WORD_MAX];
	size_t length = 0;
	int next;

	do {
		next = getc(from);
		if (next != EOF && isalnum(next)) {
			if (length < WORD_MAX)
				word[length++] = (char)tolower(next);
		} else if (length) {
			table_add(table, word, length);
			length = 0;
		}
	} while (next != EOF);
}
