// libpq's functions under their own names, each of which calls the one of the library that was loaded.

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

// Hidden: what libpq itself calls by these names must be its own.
#pragma GCC visibility push(hidden)
#include "CLibPQ.h"

// FUNCTION(result, name, parameters, arguments)
#define FUNCTIONS(FUNCTION)                                                                                            \
    FUNCTION(int, PQbackendPID, (const PGconn *c), (c))                                                                \
    FUNCTION(int, PQcancel, (PGcancel * c, char *text, int size), (c, text, size))                                     \
    FUNCTION(PQconninfoOption *, PQconndefaults, (void), ())                                                           \
    FUNCTION(PostgresPollingStatusType, PQconnectPoll, (PGconn * c), (c))                                              \
    FUNCTION(PGconn *, PQconnectStartParams, (const char *const *k, const char *const *v, int e), (k, v, e))           \
    FUNCTION(int, PQconnectionNeedsPassword, (const PGconn *c), (c))                                                   \
    FUNCTION(PQconninfoOption *, PQconninfoParse, (const char *text, char **error), (text, error))                     \
    FUNCTION(int, PQconsumeInput, (PGconn * c), (c))                                                                   \
    FUNCTION(char *, PQerrorMessage, (const PGconn *c), (c))                                                           \
    FUNCTION(int, PQflush, (PGconn * c), (c))                                                                          \
    FUNCTION(char *, PQfname, (const PGresult *r, int column), (r, column))                                            \
    FUNCTION(PGcancel *, PQgetCancel, (PGconn * c), (c))                                                               \
    FUNCTION(int, PQgetCopyData, (PGconn * c, char **buffer, int async), (c, buffer, async))                           \
    FUNCTION(PGresult *, PQgetResult, (PGconn * c), (c))                                                               \
    FUNCTION(int, PQgetisnull, (const PGresult *r, int row, int column), (r, row, column))                             \
    FUNCTION(int, PQgetlength, (const PGresult *r, int row, int column), (r, row, column))                             \
    FUNCTION(char *, PQgetvalue, (const PGresult *r, int row, int column), (r, row, column))                           \
    FUNCTION(char *, PQhost, (const PGconn *c), (c))                                                                   \
    FUNCTION(char *, PQhostaddr, (const PGconn *c), (c))                                                               \
    FUNCTION(int, PQisBusy, (PGconn * c), (c))                                                                         \
    FUNCTION(int, PQnfields, (const PGresult *r), (r))                                                                 \
    FUNCTION(int, PQntuples, (const PGresult *r), (r))                                                                 \
    FUNCTION(const char *, PQparameterStatus, (const PGconn *c, const char *name), (c, name))                          \
    FUNCTION(char *, PQport, (const PGconn *c), (c))                                                                   \
    FUNCTION(int, PQputCopyData, (PGconn * c, const char *bytes, int count), (c, bytes, count))                        \
    FUNCTION(int, PQputCopyEnd, (PGconn * c, const char *error), (c, error))                                           \
    FUNCTION(char *, PQresultErrorField, (const PGresult *r, int field), (r, field))                                   \
    FUNCTION(char *, PQresultErrorMessage, (const PGresult *r), (r))                                                   \
    FUNCTION(ExecStatusType, PQresultStatus, (const PGresult *r), (r))                                                 \
    FUNCTION(int, PQsendQuery, (PGconn * c, const char *text), (c, text))                                              \
    FUNCTION(                                                                                                          \
        int, PQsendQueryParams,                                                                                        \
        (PGconn * c, const char *text, int n, const Oid *types, const char *const *values, const int *lengths,         \
         const int *formats, int format),                                                                              \
        (c, text, n, types, values, lengths, formats, format))                                                         \
    FUNCTION(int, PQserverVersion, (const PGconn *c), (c))                                                             \
    FUNCTION(PGVerbosity, PQsetErrorVerbosity, (PGconn * c, PGVerbosity verbosity), (c, verbosity))                    \
    FUNCTION(PQnoticeProcessor, PQsetNoticeProcessor, (PGconn * c, PQnoticeProcessor f, void *arg), (c, f, arg))       \
    FUNCTION(PQnoticeReceiver, PQsetNoticeReceiver, (PGconn * c, PQnoticeReceiver f, void *arg), (c, f, arg))          \
    FUNCTION(int, PQsetSingleRowMode, (PGconn * c), (c))                                                               \
    FUNCTION(int, PQsocket, (const PGconn *c), (c))                                                                    \
    FUNCTION(ConnStatusType, PQstatus, (const PGconn *c), (c))

// PROCEDURE(name, parameters, arguments): those without a result.
#define PROCEDURES(PROCEDURE)                                                                                          \
    PROCEDURE(PQclear, (PGresult * r), (r))                                                                            \
    PROCEDURE(PQconninfoFree, (PQconninfoOption * o), (o))                                                             \
    PROCEDURE(PQfinish, (PGconn * c), (c))                                                                             \
    PROCEDURE(PQfreeCancel, (PGcancel * c), (c))                                                                       \
    PROCEDURE(PQfreemem, (void *memory), (memory))

#define FUNCTION_POINTER(result, name, parameters, arguments) result(*name) parameters;
#define PROCEDURE_POINTER(name, parameters, arguments) void(*name) parameters;
static struct {
    FUNCTIONS(FUNCTION_POINTER)
    PROCEDURES(PROCEDURE_POINTER)
} libpq;

static const char *failure;

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (found == NULL && failure == NULL) failure = strdup(dlerror());
    return found;
}

static void load(void) {
    void *library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        failure = strdup(dlerror());
        return;
    }
#define LOAD_FUNCTION(result, name, parameters, arguments)                                                             \
    libpq.name = (result(*) parameters)symbol(library, #name);
#define LOAD_PROCEDURE(name, parameters, arguments) libpq.name = (void(*) parameters)symbol(library, #name);
    FUNCTIONS(LOAD_FUNCTION)
    PROCEDURES(LOAD_PROCEDURE)
}

const char *apex_load_libpq(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return failure;
}

#define DEFINE_FUNCTION(result, name, parameters, arguments)                                                           \
    result name parameters { return libpq.name arguments; }
#define DEFINE_PROCEDURE(name, parameters, arguments)                                                                  \
    void name parameters { libpq.name arguments; }
FUNCTIONS(DEFINE_FUNCTION)
PROCEDURES(DEFINE_PROCEDURE)
#pragma GCC visibility pop
