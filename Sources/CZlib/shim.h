#include <spawn.h>
#include <sys/statfs.h>
#include <zlib.h>

/* deflateInit2 and inflateInit2 are macros that pass the version and the size of the structure. */
static inline int zlib_deflate_gzip_init(z_streamp stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
}

static inline int zlib_inflate_gzip_init(z_streamp stream) {
    return inflateInit2(stream, MAX_WBITS + 16);
}

/* Linux's rename that refuses to replace; the C library declares it only for programs that ask for GNU extensions. */
int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned int flags);

/* Writes out one file system; declared as above. */
int syncfs(int descriptor);

/* Has a program that is started inherit no file from `from` on; declared as above. */
int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
