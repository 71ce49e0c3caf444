#pragma once
// PostgreSQL's client library, 14 or newer for its pipeline mode.
#include <libpq-fe.h>
