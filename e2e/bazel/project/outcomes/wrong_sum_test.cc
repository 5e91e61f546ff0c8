#include <cstdio>

#include "testing/check.h"

int main() {
  std::printf("adding two and two\n");
  CHECK(2 + 2 == 5);
  return CHECK_RESULT();
}
