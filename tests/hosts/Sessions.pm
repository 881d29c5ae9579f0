# SPDX-License-Identifier: Apache-2.0
# Handlers for nginx's embedded Perl, of an application that keeps its sessions, of SESSION_BYTES each, in memory. With KEEP=all it keeps
# them all, else the last hundred.
package Sessions;

use strict;
use warnings;
use nginx;

my @sessions;
my $made = 0;

sub answer {
    my ($r, $text) = @_;
    $r->header_out('Content-Length', length $text);
    $r->send_http_header('text/plain');
    $r->print($text);
    return OK;
}

sub create {
    my $r = shift;
    my $session = 'x' x $ENV{SESSION_BYTES};
    push @sessions, $session;
    shift @sessions if ($ENV{KEEP} // '') ne 'all' && @sessions > 100;
    $made++;
    return answer($r, "session $made\n");
}

sub item {
    my $r = shift;
    my %item = (path => $r->uri, tags => ['a' .. 'h']);
    return answer($r, "$item{path} @{$item{tags}}\n");
}

sub search {
    my $r = shift;
    my @found = map { "result $_" } 1 .. 30;
    return answer($r, join("\n", @found));
}

sub kept {
    my $r = shift;
    return answer($r, "$made 0\n");    # Perl does not count its bytes
}

1;
