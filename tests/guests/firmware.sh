# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=dash
#
# Shell functions of the tests with firmware that boots over the network,
# beside those of guests.sh.  What it loads is in $run/tftp, where dnsmasq has
# it from a tap port of the bridge, as in the howto.

# QEMU's own choice for virtio-net-pci; in it, iPXE for a BIOS and for UEFI.
# Debian 12 has it elsewhere.
ipxe_rom=/usr/share/qemu/efi-virtio.rom
test -e "$ipxe_rom" || ipxe_rom=/usr/lib/ipxe/qemu/efi-virtio.rom
ovmf=/usr/share/ovmf/OVMF.fd
# iPXE as an EFI program, which uses the firmware's driver.
ipxe_efi=$guests/ipxe/usr/lib/ipxe/snponly.efi

# netboot_can_run FILE...: fails, with the reason on stdout, if dnsmasq or one
# of the files is missing.
netboot_can_run() {
    local file
    command -v dnsmasq > /dev/null || { echo "needs dnsmasq"; return 1; }
    for file in "$@"; do
        test -r "$file" || { echo "needs $file"; return 1; }
    done
}

# The host's tap port, DHCP and TFTP.  No frames but those that a guest asks
# for: a guest that does not run yet could not take them.
start_netboot() {
    mkdir "$run/tftp" &&
        in_netns sh -c '
            for file in /proc/sys/net/ipv6/conf/*/disable_ipv6; do
                test ! -e "$file" || echo 1 > "$file"
            done' &&
        on_exit "end TERM $run/dnsmasq.pid dnsmasq" &&
        in_guest host "$(howto network-boot-server)"
}

# boot_script LINE...: what iPXE is to do.
boot_script() {
    { echo '#!ipxe'; printf '%s\n' "$@"; } > "$run/tftp/boot.ipxe"
}

# SeaBIOS.  It and option ROMs write to the serial port.
seabios() {
    howto network-boot-bios
}

# UEFI, with the random numbers that its network stack wants.
ovmf() {
    howto network-boot-uefi
}

ovmf_properties() {
    howto network-boot-uefi-device | sed 's/.*netdev=n0,//'
}

# boot_linux [ARGUMENT...]: iPXE is to load the guests' kernel.
boot_linux() {
    ln -s "$guests/vmlinuz" "$guests/initrd" "$run/tftp"
    boot_script "kernel vmlinuz $(command_line a) $*" "initrd initrd" boot
}

# The address that the guest got by DHCP.
leased_to() {       # GUEST
    awk -v mac="$(mac "$1")" '$2 == mac { print $3 }' "$run/dnsmasq.leases"
}

# served FILE: has dnsmasq sent all of it, and to whom?
served() {
    sed -n "s,.*dnsmasq-tftp.*: sent .*/$1 to ,,p" "$run/dnsmasq.log" \
        | sort -u
}
