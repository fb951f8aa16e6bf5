/* How a program ends that is process 1 of its container: there, a signal without a handler does nothing. */
#ifndef WAIT_H
#define WAIT_H

/* Waits for SIGTERM or SIGINT, then as many seconds more. Returns the exit status. */
int wait_for_end(unsigned delay_seconds);

#endif
