/* The log in Windows' event log (Windows Logs, Application), for a program that runs where nobody reads standard error:
 * one line of the log is one event. Sources are registered by name, once a machine; the text of the events is in the
 * message resource of the program (eventlog.rc). */
#ifndef MULTISSH_BASE_EVENTLOG_WINDOWS_H
#define MULTISSH_BASE_EVENTLOG_WINDOWS_H

#include <stdbool.h>
#include <wchar.h>

/* From now on the lines of the log are events of this source (which must outlive the log; one that is not registered
 * works, but the Event Viewer puts its own words around the text). Returns 0 or a negative errno value: the log is
 * then as it was. */
int eventlog_open(const char *source);

/* Has this process no standard error to log to? A service and what it starts have none. */
bool eventlog_needed(void);

/* Registers the source, or registers it anew: the message resource is that of the program at this absolute path.
 * Needs the rights of an administrator. Returns 0 or a negative errno value (-EACCES). */
int eventlog_register(const char *source, const wchar_t *program);
/* Undoes it. 0 as well when the source is not registered. */
int eventlog_unregister(const char *source);

#endif
