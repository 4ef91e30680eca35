/* SPDX-License-Identifier: Apache-2.0
 *
 * Has a guest run another kernel, with the same command line, without a reset
 * by the machine: what the devices do goes on until the drivers of the new one
 * stop it, or the old one when it shuts down.
 *
 *     guests-kexec KERNEL INITRD */

#include <err.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int
open_file(const char *path)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0) {
        err(1, "%s", path);
    }
    return fd;
}

int
main(int argc, char *argv[])
{
    char command_line[4096];
    int kernel, initrd;
    FILE *file;

    if (argc != 3) {
        errx(2, "usage: %s KERNEL INITRD", argv[0]);
    }
    file = fopen("/proc/cmdline", "r");
    if (!file || !fgets(command_line, sizeof command_line, file)) {
        err(1, "/proc/cmdline");
    }
    fclose(file);
    command_line[strcspn(command_line, "\n")] = '\0';

    kernel = open_file(argv[1]);
    initrd = open_file(argv[2]);
    if (syscall(SYS_kexec_file_load, kernel, initrd, strlen(command_line) + 1,
                command_line, 0ul)) {
        err(1, "kexec_file_load");
    }
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
            LINUX_REBOOT_CMD_KEXEC, NULL);
    err(1, "reboot");
}
