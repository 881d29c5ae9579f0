# SPDX-License-Identifier: Apache-2.0
# From hooks.def to a linker version script: the rows are exported, everything else is local.
BEGIN { print "{ global:" }
/^HOOK\(/ { sub(/^HOOK\(/, ""); sub(/,.*/, ""); print "    " $0 ";" }
END { print "local: *; };" }
