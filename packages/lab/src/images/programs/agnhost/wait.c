#include "wait.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

static sem_t told_to_end;

static void note(int signal) {
  (void)signal;
  sem_post(&told_to_end);
}

int wait_for_end(unsigned delay_seconds) {
  /* A handler, and not a blocked signal, since programs that this one starts would inherit that. */
  struct sigaction action = {.sa_handler = note};
  sem_init(&told_to_end, 0, 0);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  while (sem_wait(&told_to_end) != 0 && errno == EINTR) continue;
  struct timespec left = {.tv_sec = delay_seconds};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
  return 0;
}
