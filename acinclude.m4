dnl SPDX-License-Identifier: Apache-2.0

dnl NV_REQUIRE_TOOL(PROGRAM, PACKAGE)
dnl
dnl Stops if PROGRAM, which Debian's PACKAGE has, is missing.
AC_DEFUN([NV_REQUIRE_TOOL],
  [AC_CHECK_PROG([have_]AS_TR_SH([$1]), [$1], [yes], [no])
   AS_VAR_IF([have_]AS_TR_SH([$1]), [no],
     [AC_MSG_ERROR([$1 is missing: install the Debian package $2])])])

dnl NV_CHECK_DPDK(FIRST, END)
dnl
dnl Looks for the shared libraries of DPDK, from version FIRST on and before
dnl END: of later ones, it is not known how librte_vhost lays out messages
dnl (VHOST_MESSAGE_SIZE in lib/vhost-compat.h), and they do not say.
AC_DEFUN([NV_CHECK_DPDK],
  [PKG_CHECK_MODULES([DPDK], [libdpdk >= $1 libdpdk < $2], [],
     [AC_MSG_ERROR([DPDK from $1 on and before $2 is missing ($DPDK_PKG_ERRORS):
install the Debian package libdpdk-dev, or set PKG_CONFIG_PATH])])

   dnl The instruction set is the user's choice, in CFLAGS.  DPDK's headers are
   dnl not ours to mend, so the compiler must not warn of them.
   DPDK_CFLAGS=$(AS_ECHO([" $DPDK_CFLAGS"]) \
     | sed 's/ -march=[[^ ]]*//g; s/ -mno-avx512f//g; s/ -I/ -isystem /g')
   dnl libtool would move --as-needed behind the libraries that it is meant for,
   dnl were these not linker flags as well.
   DPDK_LIBS="-Wl,--as-needed$(AS_ECHO([" $DPDK_LIBS"]) \
     | sed 's/ -Wl,--as-needed//g; s/ -l/ -Wl,-l/g')"

   AC_MSG_CHECKING([whether DPDK has librte_vhost])
   nv_save_CPPFLAGS=$CPPFLAGS nv_save_LIBS=$LIBS
   CPPFLAGS="$CPPFLAGS $DPDK_CFLAGS" LIBS="$DPDK_LIBS $LIBS"
   AC_LINK_IFELSE(
     [AC_LANG_PROGRAM([[#include <stdbool.h>
                        #include <sys/types.h>
                        #include <rte_vhost.h>]],
                      [[return rte_vhost_driver_start("");]])],
     [AC_MSG_RESULT([yes])],
     [AC_MSG_RESULT([no])
      AC_MSG_ERROR([no program links with librte_vhost, config.log says why:
install the Debian package libdpdk-dev])])
   CPPFLAGS=$nv_save_CPPFLAGS LIBS=$nv_save_LIBS])

dnl NV_CHECK_NUMA
AC_DEFUN([NV_CHECK_NUMA],
  [AC_SUBST([NUMA_LIBS], [-lnuma])
   nv_numa=yes
   AC_CHECK_HEADER([numa.h], [], [nv_numa=no])
   AC_CHECK_LIB([numa], [get_mempolicy], [:], [nv_numa=no])
   AS_VAR_IF([nv_numa], [no],
     [AC_MSG_ERROR([libnuma is missing: install the Debian package libnuma-dev])])])

dnl NV_CHECK_OVS_SOURCE
dnl
dnl Finds Open vSwitch's source, its version, and the patches that apply.
AC_DEFUN([NV_CHECK_OVS_SOURCE],
  [AC_ARG_WITH([ovs-source],
     [AS_HELP_STRING([--with-ovs-source=DIR|TARBALL],
        [Open vSwitch's source [what openvswitch-source installed in
         /usr/src/openvswitch]])],
     [],
     [dnl A tarball in Debian 12, the source itself in Debian 13.
      with_ovs_source=/usr/src/openvswitch/openvswitch.tar.gz
      test -e "$with_ovs_source" || with_ovs_source=/usr/src/openvswitch])
   AS_CASE([$with_ovs_source],
     [/*], [],
     [with_ovs_source=$(pwd)/$with_ovs_source])
   AC_SUBST([OVS_SOURCE], [$with_ovs_source])

   AC_MSG_CHECKING([the version of Open vSwitch in $OVS_SOURCE])
   nv_read='[s/^A[C]_INIT(\[*openvswitch]*, *\[*\([0-9][^], ]*\).*/\1/p]'
   AS_IF([test -d "$OVS_SOURCE"],
     [OVS_VERSION=$(sed -n "$nv_read" "$OVS_SOURCE/configure.ac" 2>/dev/null)],
     [OVS_VERSION=$(tar -xOf "$OVS_SOURCE" --wildcards '*/configure.ac' \
                        2>/dev/null | sed -n "$nv_read")])
   AC_SUBST([OVS_VERSION])
   dnl For lib/vhost-compat.h: 305 for 3.5.x.
   AC_SUBST([OVS_VERSION_NUMBER],
     [$(AS_ECHO([$OVS_VERSION]) | awk -F. '{ print 100 * [$]1 + [$]2 }')])
   AC_MSG_RESULT([${OVS_VERSION:-none}])
   AS_IF([test -z "$OVS_VERSION"],
     [AC_MSG_ERROR([$OVS_SOURCE is not the source of Open vSwitch:
install the Debian package openvswitch-source, or say --with-ovs-source=DIR|TARBALL])],
     [test -e "$OVS_SOURCE/config.status"],
     [AC_MSG_ERROR([$OVS_SOURCE has been configured: run "make distclean" there])])

   AC_MSG_CHECKING([for patches to Open vSwitch $OVS_VERSION])
   AC_SUBST([OVS_PATCHES])
   AS_IF([OVS_PATCHES=$("$srcdir/vswitchd-patches/choose" "$OVS_SOURCE" \
                        "$OVS_VERSION" 2>conftest.err)],
     [AC_MSG_RESULT([those for $OVS_PATCHES])
      rm -f conftest.err],
     [AC_MSG_RESULT([none])
      nv_error=$(cat conftest.err)
      rm -f conftest.err
      AC_MSG_ERROR([$nv_error])])
   dnl Those with which all suites are run: see versions.rst.
   AS_CASE([$OVS_VERSION], [3.1.0|3.5.0], [],
     [AC_MSG_WARN([Open vSwitch $OVS_VERSION gets the patches for $OVS_PATCHES, and the plugin was
not tested with it as it was with 3.1.0 and 3.5.0])])])

dnl NV_ENABLE_WARNINGS
AC_DEFUN([NV_ENABLE_WARNINGS],
  [AC_ARG_ENABLE([Werror],
     [AS_HELP_STRING([--enable-Werror], [make compiler warnings errors])],
     [], [enable_Werror=no])
   WARNING_CFLAGS="-Wall -Wextra -Wno-sign-compare -Wno-unused-parameter \
-Wno-missing-field-initializers -Wformat-security -Wpointer-arith -Wshadow \
-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition"
   AS_VAR_IF([enable_Werror], [yes],
     [AS_VAR_APPEND([WARNING_CFLAGS], [" -Werror"])])
   AC_SUBST([WARNING_CFLAGS])])

dnl NV_ENABLE_USDT_PROBES
dnl
dnl Open vSwitch's configure decides for both of us: we use its config.h.
AC_DEFUN([NV_ENABLE_USDT_PROBES],
  [AC_ARG_ENABLE([usdt-probes],
     [AS_HELP_STRING([--disable-usdt-probes],
        [leave out static probes for bpftrace and others [in if there is
         sys/sdt.h]])],
     [], [enable_usdt_probes=auto])
   AS_VAR_IF([enable_usdt_probes], [no], [],
     [AC_CHECK_HEADER([sys/sdt.h], [enable_usdt_probes=yes],
        [AS_VAR_IF([enable_usdt_probes], [yes],
           [AC_MSG_ERROR([sys/sdt.h is missing: install the Debian package systemtap-sdt-dev])])
         enable_usdt_probes=no])])
   AC_SUBST([enable_usdt_probes])])

dnl NV_ENABLE_SANITIZERS
dnl
dnl Open vSwitch is compiled without, so that its executable is the real one.
AC_DEFUN([NV_ENABLE_SANITIZERS],
  [AC_ARG_ENABLE([sanitizers],
     [AS_HELP_STRING([--enable-sanitizers],
        [compile the plugin and its unit tests with the address and the
         undefined-behaviour sanitizer])],
     [], [enable_sanitizers=no])
   AC_SUBST([enable_sanitizers])
   AM_CONDITIONAL([SANITIZERS], [test "$enable_sanitizers" = yes])
   AM_COND_IF([SANITIZERS],
     [AC_SUBST([SANITIZER_CFLAGS],
        ["-fsanitize=address,undefined -fno-omit-frame-pointer"])])])

dnl NV_ENABLE_COVERAGE
dnl
dnl Open vSwitch is compiled without: it is not what is measured.
AC_DEFUN([NV_ENABLE_COVERAGE],
  [AC_ARG_ENABLE([coverage],
     [AS_HELP_STRING([--enable-coverage],
        [compile the plugin and its unit tests for "make coverage"])],
     [], [enable_coverage=no])
   AM_CONDITIONAL([COVERAGE], [test "$enable_coverage" = yes])
   AM_COND_IF([COVERAGE],
     [AC_SUBST([COVERAGE_CFLAGS], ["--coverage -fprofile-update=atomic"])])])

dnl NV_CHECK_FUZZER
dnl
dnl Looks for a clang that has libFuzzer, for "make fuzz", which says what is
dnl missing if there is none.
AC_DEFUN([NV_CHECK_FUZZER],
  [AC_ARG_VAR([CLANG], [clang, for "make fuzz" [clang]])
   : ${CLANG=clang}
   AC_MSG_CHECKING([whether $CLANG has libFuzzer])
   AS_ECHO(["int LLVMFuzzerTestOneInput(const char *, long);
int LLVMFuzzerTestOneInput(const char *p, long n) { return 0; }"]) > conftest.c
   AS_IF([$CLANG -fsanitize=fuzzer,address,undefined -o conftest conftest.c \
            >&AS_MESSAGE_LOG_FD 2>&1],
     [nv_fuzzer=yes], [nv_fuzzer=no])
   rm -f conftest conftest.c
   AC_MSG_RESULT([$nv_fuzzer])])
