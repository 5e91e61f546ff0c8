#pragma once

#include <cstdio>

// Counts and reports what did not hold; `CHECK_RESULT()` is what `main` returns.
inline int check_failures = 0;

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      std::fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__,    \
                   #condition);                                                \
      ++check_failures;                                                        \
    }                                                                          \
  } while (false)

#define CHECK_RESULT() (check_failures == 0 ? 0 : 1)
