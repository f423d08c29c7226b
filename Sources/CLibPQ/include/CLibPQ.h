#ifndef APEX_BACKUP_CLIBPQ_H
#define APEX_BACKUP_CLIBPQ_H

// Debian keeps the header in a folder of its own.
#if __has_include(<postgresql/libpq-fe.h>)
#include <postgresql/libpq-fe.h>
#else
#include <libpq-fe.h>
#endif

/// Loads libpq, and the many libraries that it needs, once: a program that talks to no server is spared the time.
///
/// Returns NULL, or why it cannot be loaded. Before it has returned NULL no other function of libpq may be called.
const char *apex_load_libpq(void);

#endif
