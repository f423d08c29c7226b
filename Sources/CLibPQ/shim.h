#ifndef APEX_BACKUP_CLIBPQ_H
#define APEX_BACKUP_CLIBPQ_H

#include <libpq-fe.h>

#endif
