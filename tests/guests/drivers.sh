# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Shell functions of the tests of what Linux's driver does, beside those of
# guests.sh.

# Pings with sizes around those at which something may change.  This ping looks
# at the bytes of the answers.
all_sizes_pass() {  # FROM TO
    in_guest "$1" "
        for size in 56 57 63 64 65 86 100 127 128 129 255 256 257 511 512 \\
                    513 1000 1023 1024 1025 1399 1400 1470 1471 1472; do
            /bin/ping -q -c 3 -i 0.02 -W 5 -s \$size $(address "$2") > ping \\
                && ! grep 'wrong data' ping || { cat ping; exit 1; }
        done"
}

# The switch ends, or is killed, and starts again.
restart_switch() {  # exit|KILL
    if test "$1" = KILL; then
        kill_switch
    else
        appctl exit && wait_until 15 is_gone "$(cat vswitchd.pid)"
    fi
    start_vswitchd
}

# Is each of the N numbers in AFTER larger than that in BEFORE?
all_grew() {        # BEFORE AFTER N
    paste -d' ' "$1" "$2" | awk -v n="$3" '
        { for (i = 1; i <= n; i++) if ($(n + i) <= $i) exit 1 }
        NF != 2 * n { exit 1 }'
}

guest_says_times() {    # GUEST REGEX
    grep -acs "$2" "$1.log"
}

# Has the guest's kernel started N times, and is it up since the last time?
booted_times() {    # GUEST N
    awk -v n="$2" '
        /Linux version/ { started++; up = 0 }
        /the guest is up/ { up = 1 }
        END { exit !(started >= n && up) }' "$1.log"
}

# Has FROM send to TO also when that does not say where it is.
does_not_ask() {    # FROM TO
    in_guest "$1" "arp -s $(address "$2") $(mac "$2")"
}

# The host's files, over HTTP.
start_httpd() {     # DIRECTORY
    (nsenter --net="/run/netns/$netns" busybox httpd -f \
         -p "$(address host):80" -h "$1" > httpd.log 2>&1 &
     echo $! > httpd.pid)
    on_exit "end TERM httpd.pid busybox"
} 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

# fetch GUEST FILE: from there.
fetch() {
    in_guest "$1" "wget -q http://$(address host)/$2 && sha256sum < $2" \
        > "$2.sum"
}

# Gives the guest its device back, and the device its address.
plug_nic() {        # GUEST
    qmp "$1" device_add "{\"driver\": \"virtio-net-pci\", \"id\": \"nic0\",
        \"netdev\": \"net0\", \"mac\": \"$(mac "$1")\", \"romfile\": \"\"}" &&
        in_guest "$1" "
            until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
            ip link set eth0 up
            ip address add $(address "$1")/24 dev eth0"
}

# Memory, in modules of 128 MiB, as small as Linux can take.  The kernel of
# Debian 13 would use it at once.
plug_memory() {     # GUEST N
    in_guest "$1" '
        echo offline > /sys/devices/system/memory/auto_online_blocks'
    qmp "$1" object-add "{\"qom-type\": \"memory-backend-memfd\",
        \"id\": \"more$2\", \"size\": 134217728, \"share\": true}" &&
        qmp "$1" device_add "{\"driver\": \"pc-dimm\", \"id\": \"dimm$2\",
            \"memdev\": \"more$2\"}"
}

# Has the kernel use memory that has come.
online() {          # GUEST movable|kernel
    in_guest "$1" "
        until grep -l offline /sys/devices/system/memory/memory*/state; do
            sleep 0.1
        done > new
        for state in \$(cat new); do echo online_$2 > \$state; done"
}

unplug_memory() {   # GUEST N
    qmp "$1" device_del "{\"id\": \"dimm$2\"}" &&
        wait_until 30 memory_has_gone "$1" "$2"
}

# QEMU says when.
memory_has_gone() { # GUEST N
    ! qmp "$1" query-memory-devices | grep -q "dimm$2" &&
        qmp "$1" object-del "{\"id\": \"more$2\"}"
}
