/* pause: the process that holds a pod's namespaces. It waits, and reaps what the pod's containers leave behind. */
#include <signal.h>

#include "agnhost/wait.h"

int main(void) {
  signal(SIGCHLD, SIG_IGN); /* The kernel reaps the children of who ignores their end. */
  return wait_for_end(0);
}
