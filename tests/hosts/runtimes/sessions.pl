# SPDX-License-Identifier: Apache-2.0
# The application of README.md for Perl: two workers that a parent forked, each with the sessions that it made.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;

my $keep_all = ($ENV{KEEP} // '') eq 'all';
my $bytes = $ENV{SESSION_BYTES} // 1000;
my @sessions;
my $made = 0;

sub answer {
    my $path = shift;
    if ($path eq '/sessions') {
        push @sessions, 'x' x $bytes;
        shift @sessions if !$keep_all && @sessions > 100;
        return 'session ' . ++$made . "\n";
    }
    return "$made 0\n" if $path eq '/kept';    # of this worker
    return join "\n", map { "result $_" } 1 .. 30 if $path eq '/search';
    my %item = (path => $path, tags => ['a' .. 'h']);
    return "$item{path} @{$item{tags}}\n";
}

sub work {
    my $listener = shift;
    my $watched = IO::Select->new($listener);
    my %input;
    while (1) {
        for my $ready ($watched->can_read) {
            if ($ready == $listener) {
                my $client = $listener->accept or next;
                $watched->add($client);
                next;
            }
            if (!sysread $ready, $input{$ready}, 65536, length($input{$ready} // '')) {
                $watched->remove($ready);
                delete $input{$ready};
                close $ready;
                next;
            }
            while ($input{$ready} =~ s/^\S+ (\S+) .*?\r\n\r\n//s) {
                my $text = answer($1);
                syswrite $ready, "HTTP/1.1 200 OK\r\nContent-Length: " . length($text) . "\r\n\r\n$text";
            }
        }
    }
}

$| = 1;
my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1', Blocking => 0) or die "listen: $!";
my @workers = map { my $pid = fork // die "fork: $!"; work($listener) if !$pid; $pid } 1 .. 2;
$SIG{TERM} = sub { kill TERM => @workers; waitpid $_, 0 for @workers; exit 0 };
print 'listening on ', $listener->sockport, "\n";
sleep 1 while 1;
