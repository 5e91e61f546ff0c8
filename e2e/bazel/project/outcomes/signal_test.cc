#include <csignal>
#include <cstdio>

int main() {
  std::printf("about to be killed\n");
  std::fflush(stdout);
  std::raise(SIGKILL);
  return 0;
}
