/* The subcommands. Each takes the arguments after its name and returns the exit status. */
#ifndef COMMANDS_H
#define COMMANDS_H

int command_connect(int count, char **arguments);
int command_netexec(int count, char **arguments);
int command_pause(int count, char **arguments);
int command_serve_hostname(int count, char **arguments);

#endif
