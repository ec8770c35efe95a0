/* A file system without flock(2), such as Lustre mounted without -o flock. */
#include <errno.h>

int flock(int file, int operation) {
    (void)file;
    (void)operation;
    errno = ENOSYS;
    return -1;
}
